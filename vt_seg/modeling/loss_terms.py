"""Losses that are added to cross-entropy: Dice, Lovász-softmax, focal and boundary-weighted.

All take logits ``(N, C, H, W)`` at the size of the label maps ``(N, H, W)``, leave out pixels of
``ignore_value``, and return a scalar, which is 0 with a graph where nothing is labelled.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F


def dice_loss(logits: Tensor, targets: Tensor, ignore_value: int) -> Tensor:
    """Compute 1 - Dice, averaged over the classes that occur in the targets of the batch.

    Dice of a class is ``2 sum(p g) / (sum(p) + sum(g))`` over the labelled pixels of the batch, p
    being its probability and g 1 where it is the true class (V-Net, arXiv 1606.04797, Sec. 3, with
    plain sums in place of sums of squares below).
    """
    probabilities, labels = _labelled(logits.softmax(dim=1), targets, ignore_value)
    truth = F.one_hot(labels, logits.shape[1]).to(probabilities)
    pixels = truth.sum(dim=0)
    overlap = (probabilities * truth).sum(dim=0)
    dice = 2 * overlap / (probabilities.sum(dim=0) + pixels).clamp(min=1e-12)
    return _mean(1 - dice, pixels > 0)


def lovasz_softmax(logits: Tensor, targets: Tensor, ignore_value: int) -> Tensor:
    """Compute the Lovász-softmax loss, averaged over the classes that occur in the batch.

    It is the convex extension of 1 - IoU at the errors ``|g - p|`` of each class (Berman et al.,
    arXiv 1705.08790, Eq. 8 to 10), over all labelled pixels of the batch together.
    """
    probabilities, labels = _labelled(logits.softmax(dim=1), targets, ignore_value)
    if not len(labels):
        return logits.sum() * 0
    classes = labels.unique()
    truth = (labels[:, None] == classes).to(probabilities)
    errors, order = (truth - probabilities[:, classes]).abs().sort(dim=0, descending=True)
    truth = truth.gather(0, order)
    # After each pixel: IoU if this one and those of larger errors are wrong and the rest is right.
    intersection = truth.sum(dim=0) - truth.cumsum(dim=0)
    union = truth.sum(dim=0) + (1 - truth).cumsum(dim=0)
    jaccard = 1 - intersection / union
    slopes = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return (errors * slopes).sum(dim=0).mean()


def focal_loss(
    logits: Tensor,
    targets: Tensor,
    ignore_value: int,
    gamma: float = 2.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Average ``-(1 - p)^gamma log p``, p being the true class's probability (arXiv 1708.02002).

    With ``class_weights`` ``(C,)`` the average is weighted by those of the true classes. With
    ``gamma`` 0 it is cross-entropy.
    """
    losses = _cross_entropies(logits, targets, ignore_value)
    factor = (1 - (-losses).exp()).clamp(min=0) ** gamma if gamma else 1
    return _weighted_mean(factor * losses, targets, ignore_value, class_weights)


def boundary_loss(
    logits: Tensor,
    targets: Tensor,
    ignore_value: int,
    width: int = 3,
    weight: float = 4.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Average the cross-entropy with more weight near the boundaries of the label map.

    A pixel has weight ``1 + weight`` if a pixel of another label is at most ``width`` rows and
    columns away, otherwise 1; ignored pixels make no boundary. ``class_weights`` ``(C,)`` multiply
    that. (U-Net, arXiv 1505.04597, Eq. 2, weights pixels between cells in the same spirit.)
    """
    labels = targets[:, None].to(logits.dtype)
    is_ignored = labels == ignore_value
    window_max = partial(F.max_pool2d, kernel_size=2 * width + 1, stride=1, padding=width)
    highest = window_max(labels.masked_fill(is_ignored, -1))
    lowest = -window_max((-labels).masked_fill(is_ignored, -logits.shape[1]))
    near = (highest != lowest)[:, 0]
    losses = _cross_entropies(logits, targets, ignore_value)
    return _weighted_mean(losses, targets, ignore_value, class_weights, 1 + weight * near)


def _labelled(values: Tensor, targets: Tensor, ignore_value: int) -> tuple[Tensor, Tensor]:
    """Return values ``(P, C)`` and labels ``(P,)`` of the labelled pixels."""
    is_labelled = targets != ignore_value
    return values.movedim(1, -1)[is_labelled], targets[is_labelled]


def _cross_entropies(logits: Tensor, targets: Tensor, ignore_value: int) -> Tensor:
    return F.cross_entropy(logits, targets, ignore_index=ignore_value, reduction="none")


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum() / counted.sum().clamp(min=1)


def _weighted_mean(
    losses: Tensor,
    targets: Tensor,
    ignore_value: int,
    class_weights: Tensor | None,
    weights: Tensor | float = 1.0,
) -> Tensor:
    """Return the mean over labelled pixels, weighted by pixel and by true class."""
    is_labelled = targets != ignore_value
    weights = is_labelled * weights
    if class_weights is not None:
        weights = weights * class_weights[targets.where(is_labelled, 0)]
    total = weights.sum()
    return (losses * weights).sum() / torch.where(total > 0, total, 1)
