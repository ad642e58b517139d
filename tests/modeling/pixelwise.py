"""Segmentors whose every output can be computed by hand: real ones, around a backbone and a head
that look at one pixel at a time."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import SemanticSegmentor
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn


class Pixels(Backbone):
    """The image itself, with two channels more: x from -1 to 1, and the height over 100."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        count, _, height, width = images.shape
        x = (torch.arange(width) + 0.5) * 2 / width - 1
        x = x.expand(count, 1, height, width)
        return {"pixels": torch.cat([images, x, torch.full_like(x, height / 100)], 1)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"pixels": ShapeSpec(channels=5, stride=1)}


class Weights(nn.Module):
    """Logits that are linear in (blue, green, red, x, height / 100) of a pixel."""

    ignore_value = 255

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, features, targets=None):
        return torch.einsum("kc,nchw->nkhw", self.weights, features["pixels"]), {}


def pixelwise_segmentor(
    weights: Tensor, kind: type[SemanticSegmentor] = SemanticSegmentor
) -> SemanticSegmentor:
    """Logits ``weights`` (K, 5) times (blue, green, red in 0..1, x, height / 100)."""
    model = kind(
        backbone=Pixels(),
        sem_seg_head=Weights(weights),
        pixel_mean=[0.0, 0.0, 0.0],
        pixel_std=[255.0, 255.0, 255.0],
    )
    return model.eval()
