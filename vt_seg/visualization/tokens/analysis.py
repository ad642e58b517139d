"""What one image's tokens do in a model: its input, its prediction and the maps of all tokens."""

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer

from vt_seg.data import ImageReader
from vt_seg.drawing import draw_sem_seg
from vt_seg.layers import Size, map_stride

from .capture import Origins, TokenMaps, capture_tokens


@dataclass(frozen=True)
class Prediction:
    """A picture of a prediction, or a classifier's most probable classes."""

    picture: np.ndarray | None = None  # (H', W', 3), RGB, uint8, in the image's aspect ratio
    labels: np.ndarray | None = None  # label map (H, W) of a semantic segmentation
    classes: tuple[str, ...] = ()  # names of the labels
    top: tuple[tuple[str, float], ...] = ()  # a classifier's classes and their probabilities


@dataclass(frozen=True)
class LevelMaps:
    """The tokens of one VT layer at one level, for one image; see `TokenMaps`.

    Rows and columns that lie wholly in the batch's padding are cut off, and so is the last part of
    ``stack``, ".stack".

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
    """What the page and the figure show of one image, named after its file.

    ``image_rgb`` ``(H, W, 3)``, uint8, is the network's input, resized or on its canvas; the
    prediction has that size. The maps are sorted by stack, layer and level.
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
    model: Any, record: dict, *, name: str, images: ImageReader, metadata: Metadata
) -> TokenAnalysis:
    """Run a model on one image and keep its prediction and the attention of its tokens.

    ``model`` is a Detectron2 meta-architecture in evaluation mode, ``metadata`` that of its
    dataset, ``images`` the config's reader. Of the test mapper's ``record`` only ``image``
    (C, H, W) is used, so that the prediction has the size of the network's input.

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
    image_rgb = images.picture(image.permute(1, 2, 0).numpy())
    return TokenAnalysis(
        name=name,
        image_rgb=image_rgb,
        prediction=read_prediction(output, image_rgb, metadata),
        maps=tuple(level_maps(one, size, sizes[0]) for one in captured),
    )


def level_maps(
    captured: TokenMaps, image_size: Size, padded_size: Size, index: int = 0
) -> LevelMaps:
    """Return the maps of image ``index``, which lies in the top left corner of the padded batch.

    As for masks, cell i begins at pixel stride * i. Where no stride fits, the map is taken to be
    stretched over the image. Sizes are (height, width).

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
    sides = zip(padded_size, shape, strict=True)
    strides = [map_stride(pixels, cells) or pixels / cells for pixels, cells in sides]
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


def read_prediction(
    output: dict, image_rgb: np.ndarray, metadata: Metadata, num_top: int = 5
) -> Prediction:
    """Return what a Detectron2 model predicts for an image (H, W, 3), uint8, at its size.

    The output has ``panoptic_seg``, ``sem_seg`` (logits (K, H, W) or label map (H, W)),
    ``instances`` or a classifier's ``logits`` (K,), of which the ``num_top`` highest are kept.

    Raises:
        ValueError: If the output has none of these.
    """
    if "logits" in output:
        probabilities = output["logits"].float().softmax(dim=-1).cpu()
        best = probabilities.topk(min(num_top, len(probabilities)))
        names = metadata.get("classes") or [f"class {i}" for i in range(len(probabilities))]
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Prediction(top=tuple((names[i], probability) for i, probability in pairs))
    visualizer = Visualizer(image_rgb, metadata)
    if "panoptic_seg" in output:
        segments, infos = output["panoptic_seg"]
        drawn = visualizer.draw_panoptic_seg(segments.cpu(), infos)
        return Prediction(picture=drawn.get_image().copy())
    if "sem_seg" in output:
        sem_seg = output["sem_seg"]
        labels = (sem_seg.argmax(dim=0) if sem_seg.ndim == 3 else sem_seg.long()).cpu().numpy()
        picture = draw_sem_seg(image_rgb, labels, metadata)
        return Prediction(picture, labels, tuple(metadata.stuff_classes))
    if "instances" in output:
        drawn = visualizer.draw_instance_predictions(output["instances"].to("cpu"))
        return Prediction(picture=drawn.get_image().copy())
    raise ValueError(f"the model predicts {sorted(output)}, nothing that could be drawn here")
