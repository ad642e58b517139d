"""What one image's tokens do in a model: its input, its prediction and the maps of all tokens."""

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.data.detection_utils import convert_image_to_rgb

from vt_seg.layers import Size, map_stride

from .capture import Origins, TokenMaps, capture_tokens
from .prediction import Prediction, read_prediction


@dataclass(frozen=True)
class LevelMaps:
    """The tokens of one VT layer at one level, for one image; see `TokenMaps`.

    Rows and columns that lie wholly in the batch's padding are cut off. ``stack`` is without its
    last part, ".stack".

    Attributes:
        attention: ``(heads, L, h, w)`` in multiples of uniform attention, which is 1 everywhere.
        inside: ``(L,)``, the share of each token's attention that falls into the image.
        reads: ``(heads, L_read, h, w)``, summing to 1 over the tokens, or None.
        covered: (height, width) that the rows and columns cover, in pixels of the image. It exceeds
            an image whose sides the stride does not divide.
    """

    stack: str
    layer: int
    level: str
    names: tuple[str, ...]
    origins: Origins
    attention: np.ndarray
    inside: np.ndarray
    reads: np.ndarray | None
    read_names: tuple[str, ...]
    covered: Size


@dataclass(frozen=True)
class TokenAnalysis:
    """What the page and the figure show of one image.

    Attributes:
        name: Name of the image's file.
        image_rgb: ``(H, W, 3)``, uint8: the network's input, resized or on its canvas.
        prediction: At that size.
        maps: By stack, layer and level.
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


def analyze_tokens(
    model: Any, record: dict, *, name: str, image_format: str, metadata: Metadata
) -> TokenAnalysis:
    """Run a model on one image and keep its prediction and the attention of its tokens.

    Args:
        model: A Detectron2 meta-architecture, in evaluation mode.
        record: From the test mapper; only its ``image`` (C, H, W) is used, so that the prediction
            has the size of the network's input.
        name: Name of the image.
        image_format: ``INPUT.FORMAT``.
        metadata: Of the dataset that the model was trained for.

    Raises:
        ValueError: If the model has no VT layer, or attention that is not finite.
    """
    image = record["image"]
    sizes: list[Size] = []  # of the batch that the backbone is given, perhaps padded
    with torch.no_grad(), capture_tokens(model) as captured, contextlib.ExitStack() as hooks:
        hook = model.backbone.register_forward_pre_hook(
            lambda _module, args: sizes.append(tuple(args[0].shape[-2:]))
        )
        hooks.callback(hook.remove)
        (output,) = model([{"image": image}])
    size = (image.shape[-2], image.shape[-1])
    image_rgb = convert_image_to_rgb(image.permute(1, 2, 0), image_format)
    image_rgb = np.ascontiguousarray(image_rgb).astype(np.uint8)
    return TokenAnalysis(
        name=name,
        image_rgb=image_rgb,
        prediction=read_prediction(output, image_rgb, metadata),
        maps=tuple(level_maps(one, size, sizes[0]) for one in captured),
    )


def level_maps(
    captured: TokenMaps, image_size: Size, padded_size: Size, index: int = 0
) -> LevelMaps:
    """Return the maps of image number ``index`` of a batch, without the padding.

    The image lies in the top left corner of the padded one; sizes are (height, width).

    Raises:
        ValueError: If the attention is not finite.
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
    height, width = (round(n * stride) for n, stride in zip(kept, strides, strict=True))
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
        covered=(height, width),
    )


def cell_size(pixels: int, cells: int) -> float:
    """Return the side of a map's cell in pixels: the stride, if it gives ``cells`` rounded up.

    As for masks, cell i begins at pixel stride * i. Where no stride fits, the map is taken to be
    stretched over the image.
    """
    return map_stride(pixels, cells) or pixels / cells
