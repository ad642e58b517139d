"""Says which file holds which wrong label, before a CUDA assert says neither."""

from __future__ import annotations

import os

import numpy as np


def check_labels(
    mask: np.ndarray, num_classes: int, ignore_label: int, path: str | os.PathLike
) -> None:
    """Refuses labels that are neither 0..num_classes-1 nor ``ignore_label``.

    Args:
        mask: (H, W), unsigned.
        path: the mask's file, for the message.

    Raises:
        ValueError: names the file, the values, the number of classes and the likely remedy.
    """
    wrong = (mask >= num_classes) & (mask != ignore_label)
    if not wrong.any():
        return
    values = np.unique(mask[wrong]).tolist()
    shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    share = 100 * float(wrong.mean())
    raise ValueError(
        f"{path} holds label {shown} ({share:.1f} % of its pixels), but num_classes is "
        f"{num_classes}: labels must be 0..{num_classes - 1}, or {ignore_label} (ignored). "
        f"{likely_remedy(values, num_classes, ignore_label)}"
    )


def likely_remedy(values: list[int], num_classes: int, ignore_label: int) -> str:
    if 255 in values and ignore_label != 255:
        return "255 usually marks ignored pixels: set MODEL.SEM_SEG_HEAD.IGNORE_VALUE 255"
    if num_classes in (91, 171) and values[-1] <= 181:
        return (
            "It looks like COCO-Stuff's stuffthingmaps as distributed (0..181): convert them, "
            "see datasets/README.md"
        )
    if values == [num_classes]:
        return (
            "If the labels start at 1, subtract 1 from them; otherwise one class more: "
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES {num_classes + 1}"
        )
    return (
        "Set MODEL.SEM_SEG_HEAD.NUM_CLASSES to the number of classes of the dataset, or map the "
        "masks to train ids"
    )
