"""Test-time augmentation for semantic segmentation: several scales, flips, one average."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import SemanticSegmentor
from torch import Tensor, nn

from vt_seg.config import with_values
from vt_seg.data import build_augmentations, model_input
from vt_seg.data.augmentations import LabelPairs, height_and_width, swapped_order
from vt_seg.modeling import unwrapped

from .label_map import LogitMap
from .segmentor import OptimizedSegmentor


class SemanticSegmentorWithTTA(nn.Module):
    """A semantic segmentor that sees every image several times and averages.

    The interface is that of ``SemanticSegmentor`` in inference, as Detectron2's
    ``GeneralizedRCNNWithTTA`` has its model's. Every image is resized as in a test, but to each of
    ``TEST.AUG.MIN_SIZES``, and with ``TEST.AUG.FLIP`` flipped, too. The logits of a flipped image
    are flipped back, and the channels of left and right classes are swapped. The average is taken
    of the softmax over the classes, at the image's own size. A temperature other than 1 scales the
    logarithm of that average, not each view: pooled first, then calibrated (arXiv 2007.08792).

    Views of an :class:`OptimizedSegmentor` are kept at its head's stride, interpolated once, and
    averaged in strips of rows.

    Images should come at their own size, which :func:`at_original_size` has a test loader do: those
    that were resized before are resized twice.

    Attributes:
        output: "logits", for which :meth:`forward` gives probabilities, or "labels" for label maps;
            at first that of the model.
        temperature: that of the model.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, flip_label_pairs: LabelPairs = ()) -> None:
        """Prepare the augmentations.

        Args:
            cfg: ``TEST.AUG.{MIN_SIZES,MAX_SIZE,FLIP}``, with Detectron2's meaning; with
                ``INPUT.FIXED_SIZE`` or ``INPUT.AFFINE``, MIN_SIZES are the short sides of the
                image or canvas that replaces the fixed one.
            model: a ``SemanticSegmentor``, perhaps in ``DistributedDataParallel``, or what
                ``optimize`` made of it.
            flip_label_pairs: classes that a flip exchanges (the metadata name them).

        Raises:
            TypeError: if the model is no semantic segmentor.
            ValueError: if there are no sizes, or a pair names no class.
        """
        super().__init__()
        model = unwrapped(model)
        if not isinstance(model, SemanticSegmentor | OptimizedSegmentor):
            raise TypeError(f"TTA is for SemanticSegmentor, not for {type(model).__name__}")
        if not len(cfg.TEST.AUG.MIN_SIZES):
            raise ValueError("TEST.AUG.MIN_SIZES is empty: give one size or more")
        self.training = model.training  # Detectron2 restores the mode that it found a model in
        self.output = getattr(model, "output", "logits")
        self.model = copy.copy(model)  # the same layers
        if self.output == "labels" and isinstance(self.model, SemanticSegmentor):
            self.model.output = "logits"
        self.temperature: float = getattr(model, "temperature", 1.0)
        self.model.temperature = 1.0
        self.augmentations = [
            T.AugmentationList(build_augmentations(_at_size(cfg, size), is_train=False))
            for size in cfg.TEST.AUG.MIN_SIZES
        ]
        self.flip = cfg.TEST.AUG.FLIP
        num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        self.swapped = swapped_order(flip_label_pairs, num_classes)
        self.description = describe_tta(cfg, flip_label_pairs)

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        """Predict ``{"sem_seg": probabilities (num_classes, height, width)}`` for each record.

        With :attr:`output` "labels" it gives label maps ``(height, width)``. Records have an
        ``image`` (C, H, W) uint8, and ``height`` and ``width`` if these are to be others.
        """
        if self.output == "labels":
            return [{"sem_seg": labels} for labels in self.predict_labels(batched_inputs)]
        return [{"sem_seg": self._probabilities(record)} for record in batched_inputs]

    @torch.no_grad()
    def predict_labels(self, batched_inputs: list[dict]) -> list[Tensor]:
        """Predict a label map ``(height, width)`` int64 for each record."""
        return [self._labels(record) for record in batched_inputs]

    @torch.no_grad()
    def logit_maps(self, batched_inputs: list[dict]) -> list["Tensor | AveragedViews"]:
        """Predict logits of the averaged probabilities: logarithms, divided by the temperature.

        Those of an optimized model are computed as they are read, in strips.
        """
        if isinstance(self.model, OptimizedSegmentor):
            return [AveragedViews(self, list(self._views(record))) for record in batched_inputs]
        return [_log(self._probabilities(record)) for record in batched_inputs]

    def _labels(self, record: dict) -> Tensor:
        if not isinstance(self.model, OptimizedSegmentor):
            return self._average(self._views(record)).argmax(dim=0)
        return AveragedViews(self, list(self._views(record))).label_map()

    def _probabilities(self, record: dict) -> Tensor:
        average = self._average(self._views(record))
        if self.temperature == 1:
            return average
        return _log(average).div_(self.temperature).softmax(dim=0)

    def _average(self, views: Iterator[tuple[LogitMap, bool]]) -> Tensor:
        """Average the probabilities ``(K, H, W)`` of views, of which one is held at a time."""
        total, count = torch.zeros(()), 0
        for logits, flipped in views:
            for top, bottom in logits.strips():
                strip = self._view_probabilities(logits, flipped, top, bottom)
                if total.ndim == 0:
                    total = strip.new_zeros(len(strip), *logits.size)
                total[:, top:bottom] += strip
            count += 1
        return total.div_(count)

    def _views(self, record: dict) -> Iterator[tuple[LogitMap, bool]]:
        """Yield the logits of each view and whether it is flipped."""
        image = record["image"].permute(1, 2, 0).cpu().numpy()
        height = record.get("height", image.shape[0])
        width = record.get("width", image.shape[1])
        for augmentations in self.augmentations:
            for flipped in (False, True) if self.flip else (False,):
                view = np.ascontiguousarray(image[:, ::-1]) if flipped else image
                inputs = [model_input(view, augmentations) | {"height": height, "width": width}]
                if isinstance(self.model, OptimizedSegmentor):
                    (logits,) = self.model.logit_maps(inputs)
                else:
                    logits = LogitMap(self.model(inputs)[0]["sem_seg"], 1, (height, width))
                yield logits, flipped

    def _view_probabilities(self, logits: LogitMap, flipped: bool, top: int, bottom: int) -> Tensor:
        """Return rows of one view, ``(K, bottom - top, width)``, flipped back."""
        probabilities = logits.rows(top, bottom).float().softmax(dim=0)
        return probabilities.flip(-1)[self.swapped] if flipped else probabilities


class AveragedViews:
    """The average over the views of one image, computed as it is read; the interface of `LogitMap`.

    The views of an optimized model, all at its head's stride, are together about as large as one at
    full size.
    """

    def __init__(self, tta: SemanticSegmentorWithTTA, views: list[tuple[LogitMap, bool]]) -> None:
        """Keep the views, logits and whether they are flipped."""
        self._tta, self._views = tta, views
        self.num_classes, self.strips = views[0][0].num_classes, views[0][0].strips

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the logits ``(C, bottom - top, W)`` of some rows: see `logit_maps`."""
        return _log(self._sum(top, bottom) / len(self._views)) / self._tta.temperature

    def label_map(self) -> Tensor:
        """Return the argmax over classes of each output pixel, ``(H, W)`` int64."""
        return torch.cat([self._sum(*strip).argmax(dim=0) for strip in self.strips()])

    def _sum(self, top: int, bottom: int) -> Tensor:
        parts = [self._tta._view_probabilities(*view, top, bottom) for view in self._views]
        return torch.stack(parts).sum(dim=0)


def _log(probabilities: Tensor) -> Tensor:
    """Return the logarithm, finite also where a probability is too small for its dtype."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


def at_original_size(cfg: CfgNode) -> CfgNode:
    """Return a copy of ``cfg`` whose test loader does not resize."""
    # A size of 0 is Detectron2's "no resize".
    values = {"INPUT.MIN_SIZE_TEST": 0, "INPUT.FIXED_SIZE": (), "INPUT.AFFINE.ENABLED": False}
    return with_values(cfg, values)


def describe_tta(cfg: CfgNode, flip_label_pairs: LabelPairs = ()) -> str:
    """Describe in a line what `SemanticSegmentorWithTTA` does under this config."""
    sizes = ", ".join(map(str, cfg.TEST.AUG.MIN_SIZES))
    flip = "flip off"
    if cfg.TEST.AUG.FLIP:
        pairs = ", ".join(f"{first}/{second}" for first, second in flip_label_pairs)
        flip = f"flip on ({f'channels {pairs} are swapped' if pairs else 'no channels swapped'})"
    return f"Test-time augmentation: short sides {sizes}; {flip}; average of the softmax."


def _at_size(cfg: CfgNode, short_side: int) -> CfgNode:
    """Return a copy of ``cfg`` with another size of its test images."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.MIN_SIZE_TEST = short_side
    cfg.INPUT.MAX_SIZE_TEST = cfg.TEST.AUG.MAX_SIZE
    cfg.INPUT.FIXED_SIZE = _scaled("INPUT.FIXED_SIZE", cfg.INPUT.FIXED_SIZE, short_side)
    cfg.INPUT.AFFINE.SIZE = _scaled("INPUT.AFFINE.SIZE", cfg.INPUT.AFFINE.SIZE, short_side)
    return cfg


def _scaled(key: str, size: tuple[int, ...], short_side: int) -> tuple[int, ...]:
    """Scale (height, width) to a shorter side of ``short_side``; () stays ()."""
    if not len(size):
        return ()
    height, width = height_and_width(key, size)
    factor = short_side / min(height, width)
    return round(height * factor), round(width * factor)
