"""Labelled images for classification: a folder with a subfolder per class, as ImageNet has it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.datasets.folder import find_classes

from vt_seg.files.folder_walk import walk_following_links

from .datasets.registration import free_name
from .name_lists import read_class_names
from .pairing import IMAGE_EXTENSIONS

_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "images"})


@dataclass(frozen=True)
class ImageFolder:
    """What was registered; called, it gives the records.

    Attributes:
        classes: the subfolders to read, in the order of their labels; None takes all, sorted.
        remedy: what to do where the folder is missing or empty; ends the error message.
    """

    name: str
    folder: str
    classes: tuple[str, ...] | None = None
    remedy: str = ""

    def __call__(self) -> list[dict]:
        """Detectron2's records ``{"file_name", "label"}``, class by class; opens no image.

        Raises:
            FileNotFoundError, ValueError: see `class_names`; also class folders without an image.
        """
        names = self.class_names()
        label = {name: i for i, name in enumerate(names)}
        found = [
            (os.path.join(parent, file), label[name])
            for name in sorted(names)
            for parent, _, files in sorted(walk_following_links(os.path.join(self.folder, name)))
            for file in sorted(files)
            if _is_image(file)
        ]
        seen = {i for _, i in found}
        empty = [name for name in names if label[name] not in seen]
        if empty:
            raise ValueError(
                f"{self.name}: {len(empty)} of {len(names)} class folders of {self.folder} hold no "
                f"image ({_some(empty)}): fetch these images again, or remove the folders"
                f"{self._remedy()}"
            )
        MetadataCatalog.get(self.name).classes = names
        return [{"file_name": file, "label": i} for file, i in found]

    def class_names(self) -> list[str]:
        """The class folders in the order of their labels; looks at nothing below them.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: no class folders in it, images beside them, or not those of ``classes``.
        """
        if not os.path.isdir(self.folder):
            raise FileNotFoundError(f"{self.name}: no folder {self.folder}{self._remedy()}")
        try:
            present = [name for name in find_classes(self.folder)[0] if name[0] != "."]
        except FileNotFoundError:  # torchvision's word for a folder without subfolders
            present = []
        loose = sum(_is_image(entry.path) for entry in os.scandir(self.folder))
        if loose:
            beside = "beside its class folders" if present else "and no class folders"
            raise ValueError(
                f"{self.name}: {self.folder} holds {loose} images {beside}: sort them into a "
                "folder per class (torchvision.datasets.ImageNet(root, split='val') does that for "
                "ImageNet's archives)"
            )
        if not present:
            raise ValueError(
                f"{self.name}: {self.folder} holds no class folders: it needs one per class, with "
                f"its images{self._remedy()}"
            )
        if len(present) == 1 or _SPLITS.issuperset(name.lower() for name in present):
            raise ValueError(
                f"{self.name}: {self.folder} holds the folder{'s' * (len(present) > 1)} "
                f"{', '.join(present)}, which does not look like classes: name the folder that "
                "has a subfolder for each of two classes at least"
            )
        if self.classes is None:
            return present
        missing = [name for name in self.classes if name not in set(present)]
        if missing:
            raise ValueError(
                f"{self.name}: {self.folder} lacks {len(missing)} of the {len(self.classes)} "
                f"listed classes ({_some(missing)}): add these folders, or take them off the list"
            )
        return list(self.classes)

    def _remedy(self) -> str:
        return f". {self.remedy}" if self.remedy else ""


def register_image_folder(
    name: str,
    folder: str | os.PathLike,
    classes: Sequence[str] | str | os.PathLike | None = None,
    remedy: str = "",
) -> None:
    """Registers a folder with a subfolder per class as a dataset of Detectron2.

    Nothing is read before the dataset is used; its metadata gain ``classes`` then. Registering a
    name again replaces what it stood for.

    Args:
        folder: holds one folder per class, each with images in any depth of subfolders.
        classes: the class folders to read in the order of their labels, or a text file, one name a
            line; others are left out. None takes all, sorted, as torchvision does.
        remedy: ends the message where the folder is missing or empty.

    Raises:
        FileNotFoundError: ``classes`` names no file.
        ValueError: classes that stand there twice, or the name belongs to a dataset that was not
            registered with this function.
    """
    listed = None if classes is None else read_class_names(classes)
    if listed is not None and len(set(listed)) < max(2, len(listed)):
        twice = sorted({entry for entry in listed if listed.count(entry) > 1})
        fault = f"{_some(twice)} twice" if twice else f"{len(listed)} class, need two at least"
        raise ValueError(f"{name}: the list of classes holds {fault}")
    dataset = ImageFolder(name, os.path.expanduser(folder), listed, remedy)
    if not free_name(name, dataset):
        return
    DatasetCatalog.register(name, dataset)
    metadata = MetadataCatalog.get(name)
    metadata.set(image_root=dataset.folder, evaluator_type="classification")
    if listed is not None:
        metadata.classes = list(listed)


def class_names(name: str) -> list[str]:
    """The classes of a registered classification dataset, in the order of their labels.

    Of an image folder the names of the class folders are read and checked, and nothing below them.

    Raises:
        FileNotFoundError, ValueError: its folder cannot be right (see `ImageFolder.class_names`),
            or its metadata have no ``classes``.
    """
    metadata = MetadataCatalog.get(name)
    dataset = DatasetCatalog[name] if name in DatasetCatalog.list() else None
    if isinstance(dataset, ImageFolder):
        metadata.classes = dataset.class_names()
    elif metadata.get("classes") is None:
        raise ValueError(
            f"{name} has no classes in its metadata: "
            f'MetadataCatalog.get("{name}").set(classes=[...])'
        )
    return list(metadata.classes)


def different_classes(first: str, second: str) -> str:
    """A sentence that says how the classes of two datasets differ; "" where they are the same."""
    (mine, my_place), (other, other_place) = (
        (class_names(name), MetadataCatalog.get(name).get("image_root", "its records"))
        for name in (first, second)
    )
    if mine == other:
        return ""
    lacks = [name for name in mine if name not in set(other)]
    adds = [name for name in other if name not in set(mine)]
    how = []
    if lacks:
        how.append(f"lacks {len(lacks)} ({_some(lacks)})")
    if adds:
        how.append(f"adds {len(adds)} ({_some(adds)})")
    where = f"{second} ({other_place}) has other classes than {first} ({my_place})"
    if not how:
        return f"{where}: the same names in another order; give both one list of classes"
    return (
        f"{where}: it {' and '.join(how)}, so that labels would not mean the same; complete the "
        "folders, or give both one list of the classes that they share (CLASSES)"
    )


def _is_image(path: str) -> bool:
    name = os.path.basename(path)
    return name[0] != "." and os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
