"""The class of the highest score, in little time and memory."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# Scores worked on at a time, as many as a CPU's caches hold. A GPU needs more to be busy.
STRIP_SCORES = {"cpu": 2**19}
STRIP_SCORES_ELSEWHERE = 2**25


def first_maximum(scores: Tensor) -> Tensor:
    """``scores.argmax(dim=0)``, its choice among equals and its treatment of NaN included.

    Torch's CPU kernel walks through memory class by class for every pixel. Here the maximum is
    found first and then the first class that has it, both in vectorised loops, on a strip of the
    image at a time.

    Args:
        scores: ``(C, H, W)``, C > 0.

    Returns:
        ``(H, W)``; uint8 or int16 on the CPU where that pays, else int64.
    """
    scores = scores.detach()
    num_classes, _, width = scores.shape
    if scores.device.type != "cpu" or not scores.is_floating_point() or num_classes >= 2**15:
        return scores.argmax(dim=0)
    if scores.stride(0) == 1:  # channels last: the classes of a pixel are neighbours
        return scores.permute(1, 2, 0).argmax(dim=-1)
    strips = scores.split(rows_of_a_strip(scores, width), dim=1)
    return torch.cat([first_maximum_of_strip(strip) for strip in strips])


def labels_by_strips(
    size: tuple[int, int],
    strips: Iterable[tuple[int, int]],
    scores: Callable[[int, int], Tensor],
) -> Tensor | None:
    """:func:`first_maximum` of scores that are made strip by strip.

    Args:
        size: ``(H, W)`` of all strips together.
        strips: ``(top, bottom)`` of each.
        scores: gives ``(C, bottom - top, W)`` of a strip.

    Returns:
        ``(H, W)``; None of no strips.
    """
    labels = None
    for top, bottom in strips:
        strip = first_maximum(scores(top, bottom))
        # Small tensors that stay would fragment the memory that the strips' scores leave.
        labels = strip.new_empty(size) if labels is None else labels
        labels[top:bottom] = strip
    return labels


def rows_of_a_strip(scores: Tensor, width: int) -> int:
    """Rows of ``width`` pixels to work on at a time, with ``len(scores)`` scores each."""
    limit = STRIP_SCORES.get(scores.device.type, STRIP_SCORES_ELSEWHERE)
    return max(1, limit // max(1, len(scores) * width))


def first_maximum_of_strip(scores: Tensor) -> Tensor:
    """:func:`first_maximum` of a part small enough for the caches, ``(C, h, w)`` to ``(h, w)``."""
    num_classes = len(scores)
    if scores.device.type != "cpu":
        return scores.argmax(dim=0)
    small = torch.uint8 if num_classes < 2**8 else torch.int16
    # The first class has the highest rank, C; a pixel whose maximum is NaN, which equals nothing,
    # gets rank 0.
    ranks = torch.arange(num_classes, 0, -1, dtype=small)[:, None, None]
    equal = scores == scores.amax(dim=0)
    equal = equal.view(torch.uint8) if small == torch.uint8 else equal.to(small)
    rank = equal.mul_(ranks).amax(dim=0)
    if not rank.all():
        return scores.argmax(dim=0).to(small)
    return num_classes - rank
