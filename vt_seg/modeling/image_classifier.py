"""Image classification as a Detectron2 meta-architecture: a backbone and a linear layer."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_vt_seg_keys
from .distillation import Distillation, build_distillation
from .padding_aware_segmentor import map_by_size, normalized_images
from .stochastic_depth import add_stochastic_depth


class ClassifierHead(nn.Module):
    """Average pooling over pixels or visual tokens (v4 Sec. 4), dropout and a linear layer."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.0) -> None:
        """Build the layers; ``dropout`` is the probability that training zeroes a channel."""
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, num_classes)
        # As Detectron2's ResNet (Goyal et al., arXiv 1706.02677, Sec. 5.1).
        nn.init.normal_(self.linear.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of ``(N, C, H, W)`` or ``(N, C, L)``."""
        return self.linear(self.dropout(x.flatten(2).mean(dim=2)))


@META_ARCH_REGISTRY.register()
class ImageClassifier(nn.Module):
    """Any Detectron2 backbone as an image classifier.

    A checkpoint's names are ``backbone.*``, which a segmentation model takes over
    (:class:`vt_seg.checkpoint.SegmentationCheckpointer`), and ``classifier.linear.*``.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        in_feature: str,
        num_classes: int,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        distillation: Distillation | None = None,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:
        """Put a :class:`ClassifierHead` on the backbone's output ``in_feature``.

        ``label_smoothing`` is the share of the target that is spread evenly over all classes;
        images are normalised by the mean and std of each channel.

        Raises:
            ValueError: if the backbone lacks the output, or a number is out of range.
        """
        super().__init__()
        shapes = backbone.output_shape()
        if in_feature not in shapes:
            raise ValueError(
                f'MODEL.CLASSIFIER.IN_FEATURE is "{in_feature}", but the backbone '
                f"{type(backbone).__name__} gives {sorted(shapes)}: name one of these, or add "
                f'"{in_feature}" to MODEL.RESNETS.OUT_FEATURES'
            )
        for key, value in {"DROPOUT": dropout, "LABEL_SMOOTHING": label_smoothing}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"MODEL.CLASSIFIER.{key} is {value}, need 0 to 1")
        if num_classes < 1:
            raise ValueError(f"MODEL.CLASSIFIER.NUM_CLASSES is {num_classes}, need 1 or more")
        self.backbone = backbone
        self.classifier = ClassifierHead(shapes[in_feature].channels, num_classes, dropout)
        self.in_feature = in_feature
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.distillation = distillation
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the arguments of ``__init__`` that a config describes.

        Raises:
            ValueError: if the backbone makes a map that nothing reads.
        """
        require_vt_seg_keys(cfg, "MODEL.CLASSIFIER", "MODEL.BACKBONE.STOCHASTIC_DEPTH")
        backbone = build_backbone(cfg)
        outputs = backbone.output_shape()
        if cfg.MODEL.CLASSIFIER.IN_FEATURE == "tokens" and {"tokens", "res5"} <= outputs.keys():
            raise ValueError(
                f"MODEL.RESNETS.OUT_FEATURES is {sorted(outputs)}: nothing reads the map of a "
                "VT-ResNet's last module where MODEL.CLASSIFIER.IN_FEATURE is tokens, and its "
                'projector would get no gradient. Set OUT_FEATURES ["tokens"]'
            )
        add_stochastic_depth(backbone, cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH)
        node = cfg.MODEL.CLASSIFIER
        return {
            "backbone": backbone,
            "in_feature": node.IN_FEATURE,
            "num_classes": node.NUM_CLASSES,
            "dropout": node.DROPOUT,
            "label_smoothing": node.LABEL_SMOOTHING,
            "distillation": build_distillation(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training, else ``{"logits": (K,)}`` for each record.

        Records have an ``image`` (3, H, W), 0 to 255 in the order of ``INPUT.FORMAT``; in training
        of one size, and with a ``label``, an int. The losses are ``loss_cls``, and with
        distillation ``loss_distill``; their sum, weights included, is the paper's (v4 Sec. 5.2).

        Raises:
            ValueError: in training, if labels are missing or no class, or images differ in size.
        """
        if not self.training:
            # Images are not padded to one another, as padding would be averaged.
            return [{"logits": row} for row in map_by_size(self._logits, batched_inputs)]
        targets = self._targets(batched_inputs)
        sizes = {tuple(record["image"].shape[-2:]) for record in batched_inputs}
        if len(sizes) > 1:
            raise ValueError(
                f"a batch has images of {len(sizes)} sizes ({sorted(sizes)[:3]}, ...): a "
                "classifier trains on one, INPUT.CLASSIFICATION.CROP_SIZE with vt_seg's mapper"
            )
        logits = self._logits(batched_inputs)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        if self.distillation is None:
            return {"loss_cls": loss}
        weight = self.distillation.weight
        images = torch.stack([record["image"].to(self.device) for record in batched_inputs])
        return {
            "loss_cls": (1 - weight) * loss,
            "loss_distill": weight * self.distillation.loss(logits, images),
        }

    def _logits(self, batched_inputs: list[dict]) -> Tensor:
        """Return ``(N, K)`` of records whose images have one size."""
        images = normalized_images(self, batched_inputs)
        return self.classifier(self.backbone(images.tensor)[self.in_feature])

    def _targets(self, batched_inputs: list[dict]) -> Tensor:
        """Return labels ``(N,)``, checked before they can crash a GPU kernel."""
        labels = []
        for record in batched_inputs:
            name = record.get("file_name", "a record")
            if "label" not in record:
                raise ValueError(
                    f"{name} has no label: DATASETS.TRAIN must be datasets for classification "
                    "(DATASETS.CUSTOM with IMAGE_FOLDER registers one)"
                )
            label = int(record["label"])
            if not 0 <= label < self.num_classes:
                raise ValueError(
                    f"{name} has label {label}, but MODEL.CLASSIFIER.NUM_CLASSES is "
                    f"{self.num_classes}, so labels are 0 to {self.num_classes - 1}: set it to "
                    "the number of classes of DATASETS.TRAIN"
                )
            labels.append(label)
        return torch.tensor(labels, device=self.device)
