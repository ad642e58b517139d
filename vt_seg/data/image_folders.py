"""Labelled images for classification: a folder with a subfolder per class, as ImageNet has it."""

import os
from dataclasses import dataclass

from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.datasets.folder import find_classes

from vt_seg.files import walk_following_links

from .datasets.registration import make_room
from .file_patterns import IMAGE_EXTENSIONS
from .label_check import shown
from .layouts import require_count, take_subset
from .name_lists import Names, first_repeated, read_class_names

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
            ValueError: if a class folder holds no image; see `class_names` too.
        """
        names = self.class_names()
        records = [
            {"file_name": os.path.join(parent, file), "label": label}
            for name, label in sorted(zip(names, range(len(names)), strict=True))
            for parent, _, files in sorted(walk_following_links(os.path.join(self.folder, name)))
            for file in sorted(files)
            if _is_image(file)
        ]
        seen = {record["label"] for record in records}
        empty = [name for label, name in enumerate(names) if label not in seen]
        if empty:
            raise ValueError(
                f"{self.name}: {len(empty)} of {len(names)} class folders of {self.folder} hold no "
                f"image ({shown(empty, 5)}): fetch these images again, or remove the folders"
                f"{self._hint()}"
            )
        MetadataCatalog.get(self.name).classes = names
        return take_subset(records, self.subset, self.name)

    def class_names(self) -> list[str]:
        """Return the class folders in the order of their labels; look at nothing below them.

        Raises:
            FileNotFoundError: if there is no such folder.
            ValueError: if it holds no class folders, or images next to them, or lacks some of
                ``classes``.
        """
        if not os.path.isdir(self.folder):
            raise FileNotFoundError(f"{self.name}: no folder {self.folder}{self._hint()}")
        try:
            present = [name for name in find_classes(self.folder)[0] if name[0] != "."]
        except FileNotFoundError:  # torchvision raises it for a folder without subfolders.
            present = []
        holds = f"{self.name}: {self.folder} holds"
        loose = sum(_is_image(entry.name) for entry in os.scandir(self.folder))
        if loose:
            where = "next to its class folders" if present else "and no class folders"
            raise ValueError(
                f"{holds} {loose} images {where}: sort them into a folder per class "
                "(torchvision.datasets.ImageNet(root, split='val') does that for ImageNet's "
                "archives)"
            )
        if not present:
            raise ValueError(
                f"{holds} no class folders: it needs one per class, with its images{self._hint()}"
            )
        if len(present) == 1 or _SPLITS.issuperset(name.lower() for name in present):
            raise ValueError(
                f"{holds} the folder{'s' * (len(present) > 1)} {', '.join(present)}, which does "
                "not look like classes: name the folder that has a subfolder for each of two "
                "classes at least"
            )
        if self.classes is None:
            return present
        missing = [name for name in self.classes if name not in set(present)]
        if missing:
            raise ValueError(
                f"{self.name}: {self.folder} lacks {len(missing)} of the {len(self.classes)} "
                f"listed classes ({shown(missing, 5)}): add these folders or take them off the list"
            )
        return list(self.classes)

    def _hint(self) -> str:
        return f". {self.hint}" if self.hint else ""


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
        classes: the class folders to read in the order of their labels, or a text file, one name
            per line. None takes all, sorted, as torchvision does.
        hint: ends the message if the folder is missing or empty.
        subset: take so many images for a trial, evenly spread over the classes.

    Raises:
        FileNotFoundError: if ``classes`` names no file.
        ValueError: if a class is listed twice, or the name belongs to another dataset.
    """
    require_count("subset", subset)
    listed = None if classes is None else read_class_names(classes)
    if listed is not None:
        if (repeated := first_repeated(listed)) is not None:
            raise ValueError(f"{name}: the list of classes holds {repeated} twice")
        if len(listed) < 2:
            raise ValueError(f"{name}: the list of classes holds {len(listed)} class, need two")
    dataset = ImageFolder(name, os.fspath(os.path.expanduser(folder)), listed, hint, subset)
    if not make_room(name, dataset):
        return
    DatasetCatalog.register(name, dataset)
    metadata = MetadataCatalog.get(name)
    metadata.set(image_root=dataset.folder, evaluator_type="classification")
    if listed is not None:
        metadata.classes = list(listed)


def class_names(name: str) -> list[str]:
    """Return the classes of a registered classification dataset, in the order of their labels.

    Raises:
        ValueError: if its metadata have no ``classes``; see `ImageFolder.class_names` too.
    """
    metadata = MetadataCatalog.get(name)
    dataset = DatasetCatalog[name] if name in DatasetCatalog.list() else None
    if isinstance(dataset, ImageFolder):
        metadata.classes = dataset.class_names()
    elif metadata.get("classes") is None:
        setter = f'MetadataCatalog.get("{name}").set'
        raise ValueError(f"{name} has no classes in its metadata: {setter}(classes=[...])")
    return list(metadata.classes)


def _is_image(name: str) -> bool:
    return name[0] != "." and os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS
