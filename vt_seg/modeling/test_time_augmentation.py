"""Test-time augmentation for semantic segmentation: several scales, flips, one average."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import SemanticSegmentor
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vt_seg.data import build_augmentations, model_input
from vt_seg.data.augmentations import LabelPairs, height_and_width, swapped_order

from .first_maximum import first_maximum, labels_by_strips
from .logit_map import LogitMap
from .output_choice import OutputChoice


class SemanticSegmentorWithTTA(OutputChoice, nn.Module):
    """A ``SemanticSegmentor`` that sees every image several times and averages.

    The interface is that of ``SemanticSegmentor`` in inference, as Detectron2's
    ``GeneralizedRCNNWithTTA`` has its model's. Every image is resized as in a test, but to each of
    ``TEST.AUG.MIN_SIZES``, and with ``TEST.AUG.FLIP`` mirrored, too. The scores of a mirrored image
    are mirrored back, and the channels of left and right classes change places. What is averaged is
    the softmax over the classes, at the image's own size.

    Views of a model with ``logit_maps`` (`PaddingAwareSegmentor`) are kept as logits at its head's
    stride, interpolated once, and averaged in strips of rows.

    Images should come at their own size, which `at_original_size` has a test loader do: those that
    were resized before are resized twice.

    Attributes:
        output: "logits", which here gives probabilities, or "labels", as `PaddingAwareSegmentor`
            has it; at first that of the model. May be changed at any time.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, flip_label_pairs: LabelPairs = ()) -> None:
        """
        Args:
            cfg: ``TEST.AUG.{MIN_SIZES,MAX_SIZE,FLIP}``, with Detectron2's meaning; with
                ``INPUT.FIXED_SIZE`` or ``INPUT.AFFINE``, MIN_SIZES are the short sides of the
                image or canvas that replaces the fixed one.
            model: a ``SemanticSegmentor``, perhaps in ``DistributedDataParallel``.
            flip_label_pairs: classes that a mirror exchanges (the metadata have them).

        Raises:
            TypeError: another kind of model.
            ValueError: no sizes, or a pair that names no class.
        """
        super().__init__()
        model = model.module if isinstance(model, DistributedDataParallel) else model
        if not isinstance(model, SemanticSegmentor):
            raise TypeError(f"TTA is for SemanticSegmentor, not for {type(model).__name__}")
        if not len(cfg.TEST.AUG.MIN_SIZES):
            raise ValueError("TEST.AUG.MIN_SIZES is empty: give one size or more")
        self.model = model
        self.output = getattr(model, "output", "logits")
        self.train(model.training)  # Detectron2 puts a model back into the mode it found it in
        self.augmentations = [
            T.AugmentationList(build_augmentations(_at_size(cfg, size), is_train=False))
            for size in cfg.TEST.AUG.MIN_SIZES
        ]
        self.flip = cfg.TEST.AUG.FLIP
        num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        self.swapped = swapped_order(flip_label_pairs, num_classes)
        self.description = describe_tta(cfg, flip_label_pairs)

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        """
        Args:
            batched_inputs: records with ``image`` (C, H, W) uint8; ``height`` and ``width`` where
                predictions are to have another size.

        Returns:
            ``{"sem_seg": probabilities (K, height, width)}`` for each record, or with `output`
            "labels" ``{"sem_seg": classes (height, width)}``, integers.
        """
        return [{"sem_seg": self._predict(record)} for record in batched_inputs]

    def _predict(self, record: dict) -> Tensor:
        views = self._views(record)
        first = next(views)
        if self.output == "labels" and first[0].stride > 1:
            views = [first, *views]  # all at once: together about as large as one at full size

            def average(top: int, bottom: int) -> Tensor:
                total = sum(self._probabilities(*view, top, bottom) for view in views)
                return total.div_(len(views))

            return labels_by_strips(first[0].size, first[0].strips(), average)
        total, count = None, 0
        for view in chain([first], views):
            for top, bottom in view[0].strips():
                strip = self._probabilities(*view, top, bottom)
                if total is None:
                    total = strip.new_zeros(len(strip), *view[0].size)
                total[:, top:bottom] += strip
            count += 1
        total.div_(count)
        return first_maximum(total) if self.output == "labels" else total

    def _views(self, record: dict) -> Iterator[tuple[LogitMap, bool]]:
        """Scores at the output's size of each view, and whether it is mirrored."""
        image = record["image"].permute(1, 2, 0).cpu().numpy()
        height = record.get("height", image.shape[0])
        width = record.get("width", image.shape[1])
        for augmentations in self.augmentations:
            for mirrored in (False, True) if self.flip else (False,):
                view = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
                inputs = [model_input(view, augmentations) | {"height": height, "width": width}]
                if hasattr(self.model, "logit_maps"):
                    (scores,) = self.model.logit_maps(inputs)
                else:
                    (output,) = self.model(inputs)
                    scores = LogitMap(output["sem_seg"], 1, (height, width))
                yield scores, mirrored

    def _probabilities(self, scores: LogitMap, mirrored: bool, top: int, bottom: int) -> Tensor:
        """Rows of one view, (K, bottom - top, width), as the image is, not as the view shows it."""
        probabilities = scores.rows(top, bottom).float().softmax(dim=0)
        return probabilities.flip(-1)[self.swapped] if mirrored else probabilities


def at_original_size(cfg: CfgNode) -> CfgNode:
    """A copy of ``cfg`` whose test loader does not resize."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.MIN_SIZE_TEST = 0  # Detectron2's "no resize"
    cfg.INPUT.FIXED_SIZE = ()
    cfg.INPUT.AFFINE.ENABLED = False
    return cfg


def describe_tta(cfg: CfgNode, flip_label_pairs: LabelPairs = ()) -> str:
    """What `SemanticSegmentorWithTTA` does under this config, in a line."""
    sizes = ", ".join(map(str, cfg.TEST.AUG.MIN_SIZES))
    flip = "flip off"
    if cfg.TEST.AUG.FLIP:
        pairs = ", ".join(f"{first}/{second}" for first, second in flip_label_pairs)
        flip = f"flip on ({f'channels {pairs} change places' if pairs else 'no channels swapped'})"
    return f"Test-time augmentation: short sides {sizes}; {flip}; average of the softmax."


def _at_size(cfg: CfgNode, short_side: int) -> CfgNode:
    """A copy of ``cfg`` with another size of its test images."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.MIN_SIZE_TEST = short_side
    cfg.INPUT.MAX_SIZE_TEST = cfg.TEST.AUG.MAX_SIZE
    cfg.INPUT.FIXED_SIZE = _scaled("INPUT.FIXED_SIZE", cfg.INPUT.FIXED_SIZE, short_side)
    cfg.INPUT.AFFINE.SIZE = _scaled("INPUT.AFFINE.SIZE", cfg.INPUT.AFFINE.SIZE, short_side)
    return cfg


def _scaled(key: str, size: tuple[int, ...], short_side: int) -> tuple[int, ...]:
    """(height, width) with its shorter side at ``short_side``; () stays ()."""
    if not len(size):
        return ()
    height, width = height_and_width(key, size)
    factor = short_side / min(height, width)
    return round(height * factor), round(width * factor)
