"""The label check: names the file of a wrong label, where a CUDA assertion would not."""

import os
from collections.abc import Sequence

import numpy as np


def check_labels(
    mask: np.ndarray, num_classes: int, ignore_label: int, path: str | os.PathLike
) -> None:
    """Raise ValueError, with ``path`` and a fix, if a label of a mask (H, W) is out of range."""
    wrong = (mask >= num_classes) & (mask != ignore_label)
    if not wrong.any():
        return
    values = np.unique(mask[wrong]).tolist()
    raise ValueError(
        f"{path} holds label {shown(values, 8)} ({100 * wrong.mean():.1f} % of its pixels), but "
        f"num_classes is {num_classes}: labels must be 0..{num_classes - 1}, or {ignore_label} "
        f"(ignored). {likely_fix(values, num_classes, ignore_label)}"
    )


def likely_fix(values: list[int], num_classes: int, ignore_label: int) -> str:
    """Return what probably has to be done about labels that are out of range."""
    if 255 in values and ignore_label != 255:
        return "255 usually marks ignored pixels: set MODEL.SEM_SEG_HEAD.IGNORE_VALUE 255"
    if num_classes in (91, 171) and values[-1] <= 181:
        return (
            "It looks like COCO-Stuff's stuffthingmaps as distributed (0..181): convert them, "
            "see datasets/README.md"
        )
    if values == [num_classes]:
        return (
            "If the labels start at 1 and 0 is ignored, register the dataset with "
            "REDUCE_ZERO_LABEL True; otherwise one class more: "
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES {num_classes + 1}"
        )
    return (
        "Set MODEL.SEM_SEG_HEAD.NUM_CLASSES to the number of classes of the dataset, or say which "
        "label each value of the masks has: LABEL_MAP in DATASETS.CUSTOM"
    )


def shown(items: Sequence[object], most: int) -> str:
    """Return the first items, separated by commas, and "..." if there are more."""
    return ", ".join(map(str, items[:most])) + (", ..." if len(items) > most else "")
