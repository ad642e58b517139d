"""Whether a config and the datasets that it names fit, told before a model is built."""

import contextlib

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, detection_utils

from vt_seg.data import mask_loader
from vt_seg.data.image_folder import class_names, different_classes
from vt_seg.data.metadata_check import flip_faults, metadata_faults, unregistered
from vt_seg.files.regular_files import require_regular_file


def check_classification_datasets(cfg: CfgNode, *, is_train: bool) -> None:
    """Raise ValueError if a classifier's datasets cannot give what it expects.

    Args:
        cfg: of a classifier.
        is_train: check ``DATASETS.TRAIN`` too, not only ``DATASETS.TEST``.

    Raises:
        FileNotFoundError: if the folder of a dataset is missing.
        ValueError: if a dataset is not registered, or contradicts the config; says what to set.
    """
    faults = classification_faults(cfg, is_train=is_train)
    if faults:
        raise ValueError("\n".join(faults))


def check_segmentation_datasets(cfg: CfgNode, *, is_train: bool, mapper_name: str) -> None:
    """Raise ValueError if datasets cannot give what a segmentation model expects.

    Args:
        cfg: of a segmentation model.
        is_train: check ``DATASETS.TRAIN`` too, not only ``DATASETS.TEST``.
        mapper_name: "vt_seg" or "detectron2".

    Raises:
        ValueError: if a dataset is not registered, its metadata is not complete, or a key of the
            config contradicts it; says what to set.
    """
    faults = config_faults(cfg, is_train=is_train, mapper_name=mapper_name)
    for name in _registered(cfg, is_train):
        faults += metadata_faults(name)
    if faults:
        raise ValueError("\n".join(faults))


def check_labelled(cfg: CfgNode, *, mapper_name: str) -> None:
    """Refuse to train on a dataset whose masks are ignored in every pixel: its loss would be 0.

    Reads masks of each dataset of ``DATASETS.TRAIN``, as the training does, until one has a
    labelled pixel; that is the first one nearly always.

    Args:
        cfg: of a semantic segmentor.
        mapper_name: "vt_seg" or "detectron2".

    Raises:
        FileNotFoundError, ValueError: if a mask cannot be read, or has a label out of range.
        ValueError: if no mask of a dataset has a labelled pixel.
    """
    head = cfg.MODEL.SEM_SEG_HEAD
    read = mask_loader(head.NUM_CLASSES, head.IGNORE_VALUE)
    if mapper_name == "detectron2":
        read = _read_as_detectron2
    for name in cfg.DATASETS.TRAIN:
        records = DatasetCatalog.get(name)
        files = [record["sem_seg_file_name"] for record in records if "sem_seg_file_name" in record]
        # A dataset without masks is refused by the mapper, and one without images by Detectron2.
        if files and not any((read(file) != head.IGNORE_VALUE).any() for file in files):
            raise ValueError(
                f"{name} has nothing to learn from: in all of its {len(files)} masks (the first is "
                f"{files[0]}) every pixel is {head.IGNORE_VALUE}, MODEL.SEM_SEG_HEAD.IGNORE_VALUE. "
                "Check the masks and the ignored label"
            )


def _read_as_detectron2(file: str) -> np.ndarray:
    """Return a mask as Detectron2's ``DatasetMapper`` reads it, ``(H, W)``.

    Raises:
        ValueError: if it is no regular file.
    """
    require_regular_file(file)
    return detection_utils.read_image(file, "L").squeeze(2)


def config_faults(cfg: CfgNode, *, is_train: bool = True, mapper_name: str = "vt_seg") -> list[str]:
    """What in ``cfg`` contradicts the metadata of its datasets, one sentence each."""
    names = _names(cfg, is_train)
    known = _registered(cfg, is_train)
    faults = [unregistered(name) for name in names if name not in known]
    head = cfg.MODEL.SEM_SEG_HEAD
    for name in known:
        metadata = MetadataCatalog.get(name)
        count = len(metadata.get("stuff_classes", ()))
        if count and count != head.NUM_CLASSES:
            faults.append(
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {head.NUM_CLASSES} but {name} has {count} "
                f"classes: set MODEL.SEM_SEG_HEAD.NUM_CLASSES {count}"
            )
        ignored = metadata.get("ignore_label")
        if ignored is not None and ignored != head.IGNORE_VALUE:
            faults.append(
                f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE is {head.IGNORE_VALUE} but {name} has "
                f"ignore_label {ignored}: set MODEL.SEM_SEG_HEAD.IGNORE_VALUE {ignored}"
            )
    faults += _order_faults(known)
    if is_train and cfg.INPUT.RANDOM_FLIP != "none":  # a vertical mirror swaps sides just as well
        for name in known:
            if name in cfg.DATASETS.TRAIN:
                faults += _plain_flip_faults(name, mapper_name)
    if cfg.TEST.AUG.ENABLED and cfg.TEST.AUG.FLIP:
        for name in known:
            if name in cfg.DATASETS.TEST:
                faults += [f"{fault}, or TEST.AUG.FLIP False" for fault in flip_faults(name)]
    return faults


def classification_faults(cfg: CfgNode, *, is_train: bool = True) -> list[str]:
    """What in a classifier's ``cfg`` contradicts its datasets, one sentence each.

    Looks at the names of class folders, not into them. Without training, the classes of a test set
    are still compared with those of ``DATASETS.TRAIN`` where that is at hand.

    Raises:
        FileNotFoundError, ValueError: the class folders of a dataset cannot be right.
    """
    known = _registered(cfg, is_train)
    faults = [unregistered(name) for name in _names(cfg, is_train) if name not in known]
    others = [n for n in known if MetadataCatalog.get(n).get("evaluator_type") != "classification"]
    faults += [
        f"{name} is no dataset for classification, which MODEL.META_ARCHITECTURE "
        f'{cfg.MODEL.META_ARCHITECTURE} needs (evaluator_type "classification" in its metadata): '
        "name one, or register a folder of images per class in DATASETS.CUSTOM"
        for name in others
    ]
    known = [name for name in known if name not in others]
    expected = cfg.MODEL.CLASSIFIER.NUM_CLASSES
    for name in known:
        count = len(class_names(name))
        if count != expected:
            faults.append(
                f"MODEL.CLASSIFIER.NUM_CLASSES is {expected} but {name} has {count} classes: set "
                f"MODEL.CLASSIFIER.NUM_CLASSES {count}"
            )
    first, *rest = dict.fromkeys([*_classes_learned(cfg), *known]) or [""]
    return faults + [fault for name in rest if (fault := different_classes(first, name))]


def _classes_learned(cfg: CfgNode) -> list[str]:
    """The classification datasets of ``DATASETS.TRAIN`` whose classes can be told."""
    found = []
    for name in _registered(cfg, is_train=True):
        is_trained_on = name in cfg.DATASETS.TRAIN
        if is_trained_on and MetadataCatalog.get(name).get("evaluator_type") == "classification":
            with contextlib.suppress(FileNotFoundError):  # an evaluation does without its images
                class_names(name)
                found.append(name)
    return found


def _names(cfg: CfgNode, is_train: bool) -> list[str]:
    return list(dict.fromkeys((*(cfg.DATASETS.TRAIN if is_train else ()), *cfg.DATASETS.TEST)))


def _registered(cfg: CfgNode, is_train: bool) -> list[str]:
    return [name for name in _names(cfg, is_train) if name in DatasetCatalog.list()]


def _order_faults(names: list[str]) -> list[str]:
    """Classes of one name that have different labels in two datasets."""
    lists = [(name, MetadataCatalog.get(name).get("stuff_classes", ())) for name in names]
    for name, classes in lists[1:]:
        first, reference = lists[0]
        labels = {class_name: label for label, class_name in enumerate(reference)}
        for label, class_name in enumerate(classes):
            if labels.get(class_name, label) != label:
                return [
                    f"class {class_name} is label {labels[class_name]} in {first} but {label} in "
                    f"{name}: give both the same list of classes"
                ]
    return []


def _plain_flip_faults(name: str, mapper_name: str) -> list[str]:
    if mapper_name == "detectron2" and MetadataCatalog.get(name).get("flip_label_pairs"):
        return [
            f"{name} needs the label-swapping flip, which INPUT.SEM_SEG_MAPPER detectron2 does not "
            "have: set INPUT.SEM_SEG_MAPPER vt_seg, or INPUT.RANDOM_FLIP none"
        ]
    return [f"{fault}, or INPUT.RANDOM_FLIP none" for fault in flip_faults(name)]
