"""From a model's output to one class per pixel."""

import torch
from torch import Tensor


def class_map(sem_seg: Tensor, num_classes: int) -> Tensor:
    """The class of each pixel, on the device of ``sem_seg``.

    Args:
        sem_seg: scores ``(C, H, W)``, or the classes themselves, ``(H, W)`` of an integer type.
        num_classes: C.

    Returns:
        ``(H, W)`` of an integer type: the first class of the highest score, as ``argmax``.

    Raises:
        ValueError: another shape or type, another number of channels, a class out of range.
    """
    if sem_seg.ndim == 3:
        if len(sem_seg) != num_classes:
            raise ValueError(
                f"the model scores {len(sem_seg)} classes, the dataset has {num_classes}: set "
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES {num_classes}"
            )
        return sem_seg.argmax(dim=0)
    if sem_seg.ndim != 2 or sem_seg.is_floating_point() or sem_seg.is_complex():
        raise ValueError(
            f"sem_seg is a {tuple(sem_seg.shape)} tensor of {sem_seg.dtype}; need scores "
            "(C, H, W), or classes (H, W) of an integer type"
        )
    classes = sem_seg.to(torch.int32)  # torch computes on few unsigned types
    low, high = (int(value) for value in classes.aminmax()) if classes.numel() else (0, 0)
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise ValueError(f"the model predicts class {wrong}, the dataset has 0..{num_classes - 1}")
    return classes
