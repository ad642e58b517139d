"""Necks and prediction heads alone, on random maps of a backbone's sizes."""

from functools import partial

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, Backbone, build_backbone, build_sem_seg_head
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import Tensor, nn

from vt_seg.modeling.vt_config import build_vt_fpn_neck

from .segmentors import DETECTRON2, VT_SEG, in_layout, model_cfg
from .settings import FLOAT32, Precision, Settings
from .timing import Work

LATERALS = "laterals alone"
STRIDES = (4, 8, 16, 32)


def level_channels(settings: Settings) -> tuple[int, ...]:
    """Return the channels of res2 to res5 of the backbone, such as 256 to 2048 of a ResNet-50."""
    with torch.device("meta"):
        shapes = build_backbone(model_cfg(settings, VT_SEG)).output_shape()
    return tuple(shape.channels for _, shape in sorted(shapes.items()))


class GivenMaps(Backbone):
    """A bottom-up network that returns the maps that it is called with."""

    def __init__(self, names: list[str], channels: tuple[int, ...]) -> None:
        super().__init__()
        self._out_features = names
        self._out_feature_channels = dict(zip(names, channels, strict=True))
        self._out_feature_strides = dict(zip(names, STRIDES, strict=True))

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Return the maps by name."""
        return dict(zip(self._out_features, maps, strict=True))


class FPNNeck(nn.Module):
    """Detectron2's ``FPN`` without its bottom-up network; p6 is computed as in its backbones."""

    def __init__(self, channels: tuple[int, ...], out_channels: int, norm: str) -> None:
        super().__init__()
        names = ["res2", "res3", "res4", "res5"]
        self.fpn = FPN(GivenMaps(names, channels), names, out_channels, norm, LastLevelMaxPool())

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return p2 to p5."""
        return list(self.fpn(maps).values())[: len(maps)]


class Laterals(nn.Module):
    """The 1x1 convolutions with which both necks begin."""

    def __init__(self, channels: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(each, out_channels, 1) for each in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return a map of ``out_channels`` for each map."""
        return [conv(x) for conv, x in zip(self.convs, maps, strict=True)]


def build_neck(settings: Settings, name: str, num_tokens: int | None = None) -> nn.Module:
    """Return the neck of :data:`VT_SEG` or :data:`DETECTRON2`, or the :data:`LATERALS`."""
    torch.manual_seed(0)
    cfg = model_cfg(settings, DETECTRON2 if name == LATERALS else name)
    channels, out_channels = level_channels(settings), cfg.MODEL.FPN.OUT_CHANNELS
    if name == LATERALS:
        return Laterals(channels, out_channels).to(settings.device)
    if name == DETECTRON2:
        return FPNNeck(channels, out_channels, cfg.MODEL.FPN.NORM).to(settings.device)
    if num_tokens is not None:
        cfg.MODEL.VT_FPN.NUM_TOKENS = num_tokens
    shapes = [ShapeSpec(channels=each) for each in channels]
    return build_vt_fpn_neck(cfg, shapes).to(settings.device)


def neck_forward(
    settings: Settings,
    name: str,
    *,
    size: tuple[int, int] | None = None,
    precision: Precision = FLOAT32,
    channels_last: bool = False,
    compiled: bool = False,
    num_tokens: int | None = None,
) -> Work:
    """Return the inference of :func:`build_neck` for images of ``size``."""
    neck = build_neck(settings, name, num_tokens).to(precision.weights).eval()
    neck = in_layout(neck, channels_last)
    maps = random_maps(settings, level_channels(settings), size, precision, channels_last)
    if compiled:
        neck = torch.compile(neck)
    return partial(_infer, neck, maps, precision)


def neck_training(
    settings: Settings,
    name: str,
    *,
    precision: Precision = FLOAT32,
    channels_last: bool = False,
) -> Work:
    """Return a forward in training with the backward to the maps and all weights."""
    neck = in_layout(build_neck(settings, name).to(precision.weights).train(), channels_last)
    maps = random_maps(settings, level_channels(settings), None, precision, channels_last)
    for x in maps:
        x.requires_grad_()
    with torch.no_grad(), precision.region(settings.device):
        gradients = [torch.randn_like(y) for y in neck(maps)]

    def step() -> None:
        for x in (*maps, *neck.parameters()):
            x.grad = None
        with precision.region(settings.device):
            outputs = neck(maps)
        torch.autograd.backward(outputs, gradients)

    return step


class PassMaps(nn.Module):
    """A neck that returns its maps, so that a head alone is timed."""

    def forward(self, maps: list[Tensor], mask: Tensor | None = None) -> list[Tensor]:
        """Return the maps as they are."""
        return list(maps)


def head_forward(
    settings: Settings,
    library: str,
    *,
    precision: Precision = FLOAT32,
    channels_last: bool = False,
) -> Work:
    """Return the inference from the neck's maps to the logits at stride 4."""
    torch.manual_seed(0)
    cfg = model_cfg(settings, library)
    channels = (cfg.MODEL.FPN.OUT_CHANNELS,) * len(STRIDES)
    names = cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES
    shapes = [ShapeSpec(channels=c, stride=s) for c, s in zip(channels, STRIDES, strict=True)]
    head = build_sem_seg_head(cfg, dict(zip(names, shapes, strict=True)))
    if library == VT_SEG:
        head.neck = PassMaps()
    head = in_layout(head.to(settings.device, precision.weights).eval(), channels_last)
    maps = random_maps(settings, channels, None, precision, channels_last)
    return partial(_infer, head.layers, dict(zip(names, maps, strict=True)), precision)


def random_maps(
    settings: Settings,
    channels: tuple[int, ...],
    size: tuple[int, int] | None,
    precision: Precision,
    channels_last: bool,
) -> list[Tensor]:
    """Return maps ``(N, C_i, H / stride_i, W / stride_i)``, rounded up, of images of ``size``."""
    generator = torch.Generator().manual_seed(1)
    height, width = size or settings.size
    maps = [
        torch.randn(settings.batch, c, -(-height // s), -(-width // s), generator=generator)
        for c, s in zip(channels, STRIDES, strict=True)
    ]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return [x.to(settings.device, precision.inputs, memory_format=layout) for x in maps]


def _infer(module: nn.Module, inputs: object, precision: Precision) -> object:
    device = next(iter(inputs.values() if isinstance(inputs, dict) else inputs)).device.type
    with torch.no_grad(), precision.region(device):
        return module(inputs)
