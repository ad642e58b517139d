"""One image through a model: what it saw, what it predicts, and the maps of all its tokens."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.data.detection_utils import convert_image_to_rgb
from torch import nn

from vt_seg.layers import map_stride
from vt_seg.modeling.label_output import label_output

from .maps import TokenMaps, capture_tokens
from .predictions import Prediction, read_prediction


@dataclass(frozen=True)
class LevelMaps:
    """The tokens of one VT layer at one level, for one image; see :class:`TokenMaps`.

    Rows and columns that lie wholly in the batch's padding are cut off.

    Attributes:
        stack: path of the stack, without ".stack".
        layer: from 1.
        level: the feature map's name.
        names: of the L tokens.
        origins: the layer that made each of them, and its number there.
        attention: ``(heads, L, h, w)`` in multiples of uniform attention: 1 where a token looks as
            much as if it looked everywhere alike.
        inside: ``(L,)``, the share of each token's attention that falls into the image.
        reads: ``(heads, L_read, h, w)``, summing to 1 over the tokens, or None.
        read_names: of the ``L_read`` tokens.
        covered: (height, width) that the rows and columns cover, in pixels of the image; those that
            a stride does not divide end outside it.
    """

    stack: str
    layer: int
    level: str
    names: tuple[str, ...]
    origins: tuple[tuple[int, int], ...]
    attention: np.ndarray
    inside: np.ndarray
    reads: np.ndarray | None
    read_names: tuple[str, ...]
    covered: tuple[int, int]


@dataclass(frozen=True)
class TokenStudy:
    """What is drawn of one image.

    Attributes:
        name: of the image's file.
        image_rgb: ``(H, W, 3)``, uint8: what the network saw, resized or on its canvas.
        prediction: at that size.
        maps: by stack, layer and level.
    """

    name: str
    image_rgb: np.ndarray
    prediction: Prediction
    maps: tuple[LevelMaps, ...]

    @property
    def layers(self) -> dict[str, list[LevelMaps]]:
        """The levels of each VT layer, by the layer's name."""
        grouped: dict[str, list[LevelMaps]] = {}
        for one in self.maps:
            grouped.setdefault(f"{one.stack}, layer {one.layer}", []).append(one)
        return grouped


def study_tokens(
    model: nn.Module, record: dict, *, name: str, image_format: str, metadata: Metadata
) -> TokenStudy:
    """Run a model on one image and keep what its tokens do.

    Args:
        model: a Detectron2 meta-architecture, in evaluation mode.
        record: what the test mapper gives; its ``image`` (C, H, W) alone is used, so that the
            prediction has the size of what the network sees.
        name: of the image.
        image_format: ``INPUT.FORMAT``.
        metadata: of the dataset that the model was trained for.

    Raises:
        ValueError: no VT layer, or attention that is not finite.
    """
    image = record["image"]
    with (
        torch.no_grad(),
        capture_tokens(model) as captured,
        _padded_size(model) as padded,
        label_output(model),
    ):
        (output,) = model([{"image": image}])
    size = tuple(image.shape[-2:])
    image_rgb = convert_image_to_rgb(image.permute(1, 2, 0), image_format)
    image_rgb = np.ascontiguousarray(image_rgb).astype(np.uint8)
    return TokenStudy(
        name=name,
        image_rgb=image_rgb,
        prediction=read_prediction(output, image_rgb, metadata),
        maps=tuple(level_maps(one, size, padded.get("size", size)) for one in captured),
    )


@contextlib.contextmanager
def _padded_size(model: nn.Module) -> Iterator[dict[str, tuple[int, int]]]:
    """Notes under "size" the (height, width) of the batch that the backbone is given."""
    seen: dict[str, tuple[int, int]] = {}
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        yield seen
        return
    handle = backbone.register_forward_pre_hook(
        lambda _module, args: seen.update(size=tuple(args[0].shape[-2:]))
    )
    try:
        yield seen
    finally:
        handle.remove()


def level_maps(
    captured: TokenMaps, image_size: tuple[int, int], padded_size: tuple[int, int], index: int = 0
) -> LevelMaps:
    """The maps of one image of a batch, without the padding.

    Args:
        captured: see :func:`capture_tokens`.
        image_size: (height, width) of the image, which lies in the top left corner.
        padded_size: (height, width) of the batch.
        index: of the image in the batch.

    Raises:
        ValueError: attention that is not finite.
    """
    attention = captured.attention[index].float().cpu().numpy()
    reads = None if captured.reads is None else captured.reads[index].float().cpu().numpy()
    if not all(np.isfinite(x).all() for x in (attention, reads) if x is not None):
        raise ValueError(
            f"{captured.stack}, layer {captured.layer}, {captured.level}: the attention is not "
            "finite. Are these weights of a training that diverged?"
        )
    shape = attention.shape[-2:]
    strides = [cell_size(*sides) for sides in zip(padded_size, shape, strict=True)]
    kept = [
        min(cells, math.ceil(side / stride))
        for cells, side, stride in zip(shape, image_size, strides, strict=True)
    ]
    inside = attention[..., : kept[0], : kept[1]]
    return LevelMaps(
        stack=captured.stack.removesuffix("stack").removesuffix("."),
        layer=captured.layer,
        level=captured.level,
        names=captured.names,
        origins=captured.origins,
        attention=inside * (shape[0] * shape[1]),
        inside=inside.sum((-2, -1)).mean(0),
        reads=None if reads is None else reads[..., : kept[0], : kept[1]],
        read_names=captured.read_names,
        covered=tuple(round(n * stride) for n, stride in zip(kept, strides, strict=True)),
    )


def cell_size(pixels: int, cells: int) -> float:
    """Side of a map's cell in the image: the stride, where ``cells = ceil(pixels / stride)``.

    As for masks, cell i begins at pixel stride * i. Where no stride fits, the map is taken to be
    stretched over the image.
    """
    return map_stride(pixels, cells) or pixels / cells
