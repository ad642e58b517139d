"""The loss of a head: cross-entropy with its options, and further terms with their weights."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..config import require_vt_seg_keys
from .loss_terms import boundary_loss, dice_loss, focal_loss, lovasz_softmax
from .resampling import upsample


class SegmentationLoss(nn.Module):
    """Mean cross-entropy over the labelled pixels, as ``F.cross_entropy``; 0 if there are none.

    With class weights the mean is weighted: the sum divided by the weights of the pixels' true
    classes, as in torch. With online hard example mining (OHEM, as in HRNet's and OCNet's code) the
    mean goes over the pixels whose true class got a probability below ``ohem_threshold``, and at
    least over the ``ohem_min_kept`` hardest.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_value: int,
        *,
        class_weights: Sequence[float] = (),
        class_weight_rule: str = "",
        label_smoothing: float = 0.0,
        ohem_threshold: float = 1.0,
        ohem_min_kept: int = 100_000,
    ) -> None:
        """Check and keep the settings.

        ``class_weight_rule`` names how ``class_weights`` are to be computed from the training set,
        which is not done here: without them it makes :meth:`forward` raise. ``ohem_threshold`` 1
        switches OHEM off, and ``ohem_min_kept`` counts pixels per image of the batch.

        Raises:
            ValueError: if a number is out of range, or weights and classes differ in number.
        """
        super().__init__()
        if len(class_weights) not in (0, num_classes):
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS has {len(class_weights)} numbers, "
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}: give one for each class"
            )
        weights = torch.tensor(class_weights, dtype=torch.float32) if class_weights else None
        if weights is not None and not (weights.isfinite().all() and weights.min() >= 0):
            raise ValueError(
                "MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS must be finite and not negative, not "
                f"{list(class_weights)}"
            )
        shares = {"LABEL_SMOOTHING": label_smoothing, "OHEM_THRESHOLD": ohem_threshold}
        for key, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f"MODEL.SEM_SEG_HEAD.LOSS.{key} is {value}, need 0 to 1")
        if ohem_min_kept < 0:
            raise ValueError(f"MODEL.SEM_SEG_HEAD.LOSS.OHEM_MIN_KEPT is {ohem_min_kept}, below 0")
        self.ignore_value = ignore_value
        self.missing_rule = "" if class_weights else class_weight_rule
        self.label_smoothing = label_smoothing
        self.ohem_threshold = ohem_threshold
        self.ohem_min_kept = ohem_min_kept
        # Not persistent: a checkpoint fits any choice of losses.
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, stride: int = 1) -> Tensor:
        """Compute the loss of the logits upsampled to the size of the label maps.

        Logits are ``(N, C, h, w)``, with ``stride`` pixels per cell, and ``targets`` ``(N, H, W)``.
        The scalar has a graph back to the logits even without a labelled pixel.

        Raises:
            RuntimeError: if class weights were to be computed and were not.
        """
        self.required_class_weights()
        if self.ohem_threshold == 1:
            total = _SumOverImages.apply(logits, targets, stride, self)
            return total / self._weight(targets, targets != self.ignore_value)
        height, width = targets.shape[-2:]
        logits = upsample(logits, stride, (height, width))  # OHEM compares the whole batch
        losses = self.cross_entropy(logits, targets, "none")
        kept = self._hard(logits, losses, targets)
        return (losses * kept).sum() / self._weight(targets, kept)

    def required_class_weights(self) -> Tensor | None:
        """Return the class weights ``(C,)``, or None where all are 1.

        Raises:
            RuntimeError: if they were to be computed and were not.
        """
        if self.missing_rule:
            raise RuntimeError(
                f'MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE is "{self.missing_rule}", but the '
                "weights were not computed: train with vt_seg.engine.Trainer, or build the model "
                "from vt_seg.engine.with_class_weights(cfg)"
            )
        return self.class_weights

    def cross_entropy(self, logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
        """Apply ``F.cross_entropy`` with the weights, smoothing and ignored label."""
        return F.cross_entropy(
            logits,
            targets,
            weight=self.class_weights,
            ignore_index=self.ignore_value,
            reduction=reduction,
            label_smoothing=self.label_smoothing,
        )

    def _weight(self, targets: Tensor, counted: Tensor) -> Tensor:
        """Return what a sum over the ``counted`` pixels is divided by."""
        if self.class_weights is None:
            return counted.sum().clamp(min=1)
        total = self.class_weights[targets[counted]].sum()
        return torch.where(total > 0, total, 1)

    @torch.no_grad()
    def _hard(self, logits: Tensor, losses: Tensor, targets: Tensor) -> Tensor:
        """Return the pixels that count under OHEM, ``(N, H, W)`` bool."""
        labelled = targets != self.ignore_value
        if self.class_weights is not None or self.label_smoothing > 0:
            losses = F.cross_entropy(
                logits, targets, ignore_index=self.ignore_value, reduction="none"
            )
        probability = (-losses).exp()  # of the true class
        hard = labelled & (probability < self.ohem_threshold)
        of_labelled = probability[labelled]
        least = min(self.ohem_min_kept * len(targets), of_labelled.numel())
        if least == 0 or hard.sum() >= least:
            return hard
        return labelled & (probability <= of_labelled.kthvalue(least).values)


class _SumOverImages(torch.autograd.Function):
    """Summed cross-entropy of upsampled logits, with one image at full size at a time.

    Full-size logits, their softmax and gradients are the largest tensors of a training step. So the
    gradient at the logits' own size is computed along with the sum, image by image, and kept.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, stride: int, loss: SegmentationLoss
    ) -> Tensor:
        height, width = targets.shape[-2:]
        total, gradients = logits.new_zeros(()), torch.zeros_like(logits)
        for i in range(len(logits)):
            image, target = logits[i : i + 1].detach(), targets[i : i + 1]
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                image.requires_grad_(ctx.needs_input_grad[0])
                upsampled = upsample(image, stride, (height, width))
                # On GPUs PyTorch's "sum" adds in an order that differs from run to run.
                value = loss.cross_entropy(upsampled, target, "none").sum()
            if ctx.needs_input_grad[0]:
                gradients[i : i + 1] = torch.autograd.grad(value, image)[0]
            total += value.detach()
        ctx.save_for_backward(gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor) -> tuple[Tensor, None, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * by_total, None, None, None


class LossTerms(nn.Module):
    """Cross-entropy and further terms, each with its weight (``MODEL.SEM_SEG_HEAD.LOSS.TERMS``).

    Attributes:
        cross_entropy: The cross-entropy, with its class weights, OHEM and smoothing.
        ignore_value: Label of pixels that no term counts.
    """

    def __init__(
        self,
        cross_entropy: SegmentationLoss,
        weights: Mapping[str, float] | None = None,
        *,
        focal_gamma: float = 2.0,
        boundary_width: int = 3,
        boundary_weight: float = 4.0,
    ) -> None:
        """Check and keep the settings.

        ``weights`` are those of "cross_entropy", "dice", "lovasz", "focal" and "boundary"; a term
        without one, or of weight 0, is not computed. The default is cross-entropy alone. The rest
        are the options of :mod:`.loss_terms`.

        Raises:
            ValueError: if a number is out of range, or no term has a weight.
        """
        super().__init__()
        self.cross_entropy = cross_entropy
        self.ignore_value = cross_entropy.ignore_value
        self.weights = {k: v for k, v in (weights or {"cross_entropy": 1.0}).items() if v != 0}
        key = "MODEL.SEM_SEG_HEAD.LOSS"
        for name, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"{key}.TERMS.{name.upper()} is {weight}, need 0 or more")
        if not self.weights:
            raise ValueError(f"all of {key}.TERMS are 0: nothing would be learned; set one to 1.0")
        for name, value, least in (
            ("FOCAL_GAMMA", focal_gamma, 0),
            ("BOUNDARY_WIDTH", boundary_width, 1),
            ("BOUNDARY_WEIGHT", boundary_weight, 0),
        ):
            if value < least:
                raise ValueError(f"{key}.{name} is {value}, need {least} or more")
        self.focal_gamma = focal_gamma
        self.boundary_width = boundary_width
        self.boundary_weight = boundary_weight

    def forward(self, logits: Tensor, targets: Tensor, stride: int = 1) -> dict[str, Tensor]:
        """Compute the weighted terms: "loss_sem_seg" is cross-entropy, "loss_dice" Dice, ...

        Logits are ``(N, C, h, w)``, with ``stride`` pixels per cell, and ``targets`` ``(N, H, W)``.
        """
        losses, weights = {}, dict(self.weights)
        if weight := weights.pop("cross_entropy", 0):
            losses["loss_sem_seg"] = weight * self.cross_entropy(logits, targets, stride)
        if weights:
            height, width = targets.shape[-2:]
            logits = upsample(logits, stride, (height, width))
            class_weights = self.cross_entropy.required_class_weights()
            terms: dict[str, Callable[..., Tensor]] = {
                "dice": dice_loss,
                "lovasz": lovasz_softmax,
                "focal": partial(focal_loss, gamma=self.focal_gamma, class_weights=class_weights),
                "boundary": partial(
                    boundary_loss,
                    width=self.boundary_width,
                    weight=self.boundary_weight,
                    class_weights=class_weights,
                ),
            }
            for name, weight in weights.items():
                losses[f"loss_{name}"] = weight * terms[name](logits, targets, self.ignore_value)
        return losses


def loss_terms(cfg: CfgNode) -> LossTerms:
    """Build the loss that ``MODEL.SEM_SEG_HEAD`` describes."""
    require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.LOSS")
    head = cfg.MODEL.SEM_SEG_HEAD
    cross_entropy = SegmentationLoss(
        head.NUM_CLASSES,
        head.IGNORE_VALUE,
        class_weights=head.LOSS.CLASS_WEIGHTS,
        class_weight_rule=head.LOSS.CLASS_WEIGHT_RULE,
        label_smoothing=head.LOSS.LABEL_SMOOTHING,
        ohem_threshold=head.LOSS.OHEM_THRESHOLD,
        ohem_min_kept=head.LOSS.OHEM_MIN_KEPT,
    )
    return LossTerms(
        cross_entropy,
        {name.lower(): weight for name, weight in head.LOSS.TERMS.items()},
        focal_gamma=head.LOSS.FOCAL_GAMMA,
        boundary_width=head.LOSS.BOUNDARY_WIDTH,
        boundary_weight=head.LOSS.BOUNDARY_WEIGHT,
    )
