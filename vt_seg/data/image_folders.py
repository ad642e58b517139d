"""Labelled images for classification: a folder with a subfolder per class, as ImageNet has it."""

import logging
import os
from dataclasses import dataclass

from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.datasets.folder import find_classes

from vt_seg.files import files_in, is_system_name, normalized_name

from .classes import Names, read_class_names
from .datasets.registration import make_room
from .label_check import shown
from .layouts import IMAGE_EXTENSIONS, require_count, take_subset

logger = logging.getLogger(__name__)
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "images"})


@dataclass(frozen=True)
class ImageFolder:
    """A folder registered by `register_image_folder`; calling it gives the records."""

    name: str
    folder: str
    classes: tuple[str, ...] | None = None
    hint: str = ""
    subset: int | None = None

    def __call__(self) -> list[dict]:
        """Return Detectron2's records ``{"file_name", "label"}``, class by class; open no image.

        Raises:
            ValueError: if a class folder holds no image; see `class_folders` too.
        """
        folders = self.class_folders()
        names, records = list(folders), []
        for name, label in sorted(zip(names, range(len(names)), strict=True)):
            files = files_in(os.path.join(self.folder, folders[name]), IMAGE_EXTENSIONS)
            records += [{"file_name": path, "label": label} for path in files.paths]
            if files.skipped():
                logger.info(f"{self.name}: skipped in {files.skipped()}")
        seen = {record["label"] for record in records}
        empty = [name for label, name in enumerate(names) if label not in seen]
        if empty:
            raise ValueError(
                f"{self.name}: {len(empty)} of {len(names)} class folders of {self.folder} hold no "
                f"image ({shown(empty, 5)}): fetch these images again, or remove the folders"
                f"{self.hint}"
            )
        MetadataCatalog.get(self.name).classes = names
        return take_subset(records, self.subset, self.name)

    def class_folders(self) -> dict[str, str]:
        """Return the folder of each class in the order of the labels; look at nothing below.

        Classes are named after them in the Unicode form NFC, so that the names and their order are
        the same on all systems.

        Raises:
            FileNotFoundError: if there is no such folder.
            ValueError: if it holds no class folders, or images next to them, or lacks some of
                ``classes``, or two names look alike.
        """
        if not os.path.isdir(self.folder):
            raise FileNotFoundError(f"{self.name}: no folder {self.folder}{self.hint}")
        try:
            names = [name for name in find_classes(self.folder)[0] if not is_system_name(name)]
        except FileNotFoundError:  # torchvision raises it for a folder without subfolders.
            names = []
        present = dict(sorted((normalized_name(name), name) for name in names))
        holds = f"{self.name}: {self.folder} holds"
        if len(present) < len(names):
            twins = [name for name in names if name not in present.values()]
            raise ValueError(
                f"{holds} two folders {normalized_name(twins[0])}, whose names differ in Unicode "
                f"alone ({twins[0]!a}): merge them"
            )
        loose = len(files_in(self.folder, IMAGE_EXTENSIONS, below=False).paths)
        if loose:
            where = "next to its class folders" if present else "and no class folders"
            raise ValueError(
                f"{holds} {loose} images {where}: sort them into a folder per class "
                "(torchvision.datasets.ImageNet(root, split='val') does that for ImageNet's "
                "archives)"
            )
        if not present:
            raise ValueError(
                f"{holds} no class folders: it needs one per class, with its images{self.hint}"
            )
        if len(present) == 1 or _SPLITS.issuperset(name.lower() for name in present):
            raise ValueError(
                f"{holds} the folder{'s' * (len(present) > 1)} {', '.join(present)}, which does "
                "not look like classes: name the folder that has a subfolder for each of two "
                "classes at least"
            )
        if self.classes is None:
            return present
        listed = list(map(normalized_name, self.classes))
        missing = [name for name in listed if name not in present]
        if missing:
            raise ValueError(
                f"{self.name}: {self.folder} lacks {len(missing)} of the {len(self.classes)} "
                f"listed classes ({shown(missing, 5)}): add these folders or take them off the list"
            )
        return {name: present[name] for name in listed}


def register_image_folder(
    name: str,
    folder: str | os.PathLike,
    classes: Names | None = None,
    hint: str = "",
    subset: int | None = None,
) -> None:
    """Register a folder with a subfolder per class as a dataset of Detectron2.

    Nothing is read before the dataset is used; its metadata gain ``classes`` then. Registering a
    name again replaces the dataset.

    Args:
        name: what configs call the dataset.
        folder: holds one folder per class, each with images in any depth of subfolders.
        classes: the class folders to read in the order of their labels, or a file of them; see
            `read_class_list`. None takes all, sorted, as torchvision does.
        hint: ends the message if the folder is missing or empty.
        subset: take so many images for a trial, evenly spread over the classes.

    Raises:
        FileNotFoundError: if ``classes`` names no file.
        ValueError: if a class is listed twice, or the name belongs to another dataset.
    """
    require_count("subset", subset)
    if not isinstance(folder, (str, os.PathLike)):
        raise ValueError(f"image_folder is {folder!r}, which is no text: write it in quotes")
    listed = None if classes is None else read_class_names(classes)
    if listed is not None and len(listed) < 2:
        raise ValueError(f"{name}: the list of classes holds {len(listed)} class, need two")
    hint = f". {hint}" if hint else ""
    dataset = ImageFolder(name, os.fspath(os.path.expanduser(folder)), listed, hint, subset)
    if not make_room(name, dataset):
        return
    DatasetCatalog.register(name, dataset)
    classes_known = {} if listed is None else {"classes": list(listed)}
    MetadataCatalog.get(name).set(
        image_root=dataset.folder, evaluator_type="classification", **classes_known
    )


def class_names(name: str) -> list[str]:
    """Return the classes of a registered classification dataset, in the order of their labels.

    Raises:
        ValueError: if its metadata have no ``classes``; see `ImageFolder.class_folders` too.
    """
    metadata = MetadataCatalog.get(name)
    dataset = DatasetCatalog[name] if name in DatasetCatalog.list() else None
    if isinstance(dataset, ImageFolder):
        metadata.classes = list(dataset.class_folders())
    elif metadata.get("classes") is None:
        setter = f'MetadataCatalog.get("{name}").set'
        raise ValueError(f"{name} has no classes in its metadata: {setter}(classes=[...])")
    return list(metadata.classes)
