"""Cross-entropy for imbalanced classes: class weights, hard examples, smoothed labels."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..config import require_vt_seg_keys


class SegmentationLoss(nn.Module):
    """Mean cross-entropy over the labelled pixels, as ``F.cross_entropy``; 0 where there are none.

    With class weights the mean is a weighted one: the sum divided by the weights of the pixels'
    true classes, as in torch. With online hard example mining (OHEM, as HRNet's and OCNet's code
    has it), the mean goes over the pixels whose true class got a probability below ``threshold``,
    and at least over the ``min_kept`` hardest.
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
        """
        Args:
            num_classes: C.
            ignore_value: label of the pixels that do not count.
            class_weights: C numbers, not negative; () for none.
            class_weight_rule: how weights are to be computed from the training set, which is not
                done here: a name without ``class_weights`` is an error, once a loss is asked for.
            label_smoothing: 0 to 1.
            ohem_threshold: 0 to 1; 1 is no OHEM.
            ohem_min_kept: pixels per image of the batch.

        Raises:
            ValueError: a number out of range, or another number of weights than of classes.
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
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """
        Args:
            logits: ``(N, C, H, W)``.
            targets: labels ``(N, H, W)``.

        Returns:
            a number, always with a graph back to ``logits``.

        Raises:
            RuntimeError: class weights were to be computed and were not.
        """
        if self.missing_rule:
            raise RuntimeError(
                f'MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHT_RULE is "{self.missing_rule}", but the '
                "weights were not computed: train with vt_seg.engine.Trainer, or build the model "
                "from vt_seg.engine.with_class_weights(cfg)"
            )
        counted = targets != self.ignore_value
        if self.ohem_threshold == 1:
            return self._cross_entropy(logits, targets, "sum") / self._weight(targets, counted)
        losses = self._cross_entropy(logits, targets, "none")
        kept = self._hard(logits, losses, targets, counted)
        return (losses * kept).sum() / self._weight(targets, kept)

    def of_enlarged(
        self, logits: Tensor, targets: Tensor, enlarge: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The loss of ``enlarge(logits)``, which is never held for more than one image.

        Full-size scores, their softmax and gradients are the largest tensors of a training step.
        The gradient at the size of ``logits`` is computed along with the loss, image by image, and
        kept instead, so that there is no second derivative. (OHEM compares the pixels of a whole
        batch and so goes the ordinary way.)

        Args:
            logits: ``(N, C, h, w)``.
            targets: labels ``(N, H, W)``.
            enlarge: from ``(n, C, h, w)`` to ``(n, C, H, W)``, each image by itself.

        Returns, Raises:
            as :meth:`forward`.
        """
        if self.missing_rule or self.ohem_threshold < 1 or not logits.requires_grad:
            return self(enlarge(logits), targets)

        def of_image(one: Tensor, target: Tensor) -> Tensor:
            return self._cross_entropy(enlarge(one), target, "sum")

        total = _SumOverImages.apply(logits, targets, of_image)
        return total / self._weight(targets, targets != self.ignore_value)

    def _cross_entropy(self, logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
        return F.cross_entropy(
            logits,
            targets,
            weight=self.class_weights,
            ignore_index=self.ignore_value,
            reduction=reduction,
            label_smoothing=self.label_smoothing,
        )

    def _weight(self, targets: Tensor, counted: Tensor) -> Tensor:
        """What to divide a sum over the ``counted`` pixels by."""
        if self.class_weights is None:
            return counted.sum().clamp(min=1)
        total = self.class_weights[targets[counted]].sum()
        return torch.where(total > 0, total, 1)

    @torch.no_grad()
    def _hard(self, logits: Tensor, losses: Tensor, targets: Tensor, labelled: Tensor) -> Tensor:
        """The pixels that count under OHEM: ``(N, H, W)`` bool."""
        if self.class_weights is None and self.label_smoothing == 0:
            log_probability = -losses.detach()
        else:
            log_probability = -F.cross_entropy(
                logits, targets, ignore_index=self.ignore_value, reduction="none"
            )
        probability = log_probability.exp()
        hard = labelled & (probability < self.ohem_threshold)
        of_labelled = probability[labelled]
        least = min(self.ohem_min_kept * len(targets), of_labelled.numel())
        if least == 0 or hard.sum() >= least:
            return hard
        return labelled & (probability <= of_labelled.kthvalue(least).values)


class _SumOverImages(torch.autograd.Function):
    """``sum(loss(logits[i], targets[i]))`` whose gradient is computed in the forward pass."""

    @staticmethod
    def forward(
        ctx, logits: Tensor, targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        total, gradients = logits.new_zeros(()), torch.empty_like(logits)
        for image, target, gradient in zip(
            logits.split(1), targets.split(1), gradients.split(1), strict=True
        ):
            with torch.enable_grad():
                image = image.detach().requires_grad_()
                value = loss(image, target)
            gradient.copy_(torch.autograd.grad(value, image)[0])
            total += value.detach()
        ctx.save_for_backward(gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, by_total: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * by_total, None, None


def segmentation_loss(cfg) -> SegmentationLoss:
    """The loss that ``MODEL.SEM_SEG_HEAD`` describes."""
    require_vt_seg_keys(cfg, "MODEL.SEM_SEG_HEAD.LOSS")
    head = cfg.MODEL.SEM_SEG_HEAD
    return SegmentationLoss(
        head.NUM_CLASSES,
        head.IGNORE_VALUE,
        class_weights=head.LOSS.CLASS_WEIGHTS,
        class_weight_rule=head.LOSS.CLASS_WEIGHT_RULE,
        label_smoothing=head.LOSS.LABEL_SMOOTHING,
        ohem_threshold=head.LOSS.OHEM_THRESHOLD,
        ohem_min_kept=head.LOSS.OHEM_MIN_KEPT,
    )
