#!/usr/bin/env python
"""Measure how a larger image in the batch changes a smaller one's prediction, by layers.

    python research/batch_mates.py --config-file configs/vtfpn_R18_scenes.yaml
    ... --num 24 --mate 192x192 --opts MODEL.WEIGHTS model.pth    (default: weights in OUTPUT_DIR)

Each image of the test set is predicted alone, and padded to the size of its batch mate. Layers that
see the padding are corrected, all kinds but one at a time, so that the remaining change is that of
this kind. With all corrected the prediction is that of the image alone.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.report_table import ReportTable, Row
from vt_seg.checkpoint import input_convention
from vt_seg.command_line import errors_as_messages
from vt_seg.data import spread_evenly
from vt_seg.engine import (
    SegmentationCheckpointer,
    adapt_to_machine,
    load_cfg,
    task_of,
    use_trained_weights,
)
from vt_seg.inference import LogitMap
from vt_seg.layers import resize_mask
from vt_seg.modeling import VTFPNHead, upsample, vt_fpn_head
from vt_seg.modeling.padding_aware_segmentor import padding_mask

SOURCES = {
    "tokens": "tokenizers: softmax over the padding",
    "backbone": "backbone: 3x3 convolutions and max-pooling",
    "head": "head: 3x3 convolutions",
    "norm": "head: statistics of group norm",
    "upsampling": "head: bilinear upsampling",
}


def zero_padding(mask: Tensor, x: Tensor) -> Tensor:
    """Set the padding to zero, which a convolution takes for the border of an image."""
    return x * resize_mask(mask, x.shape[-2:])


def group_norm_of_image(mask: Tensor, norm: nn.GroupNorm, args: tuple, out: Tensor) -> Tensor:
    """Apply group norm with the statistics of the image's own pixels."""
    (x,) = args
    inside = resize_mask(mask, x.shape[-2:]).to(x.dtype).unsqueeze(2)
    groups = x.unflatten(1, (norm.num_groups, -1))
    count = inside.sum((2, 3, 4), keepdim=True) * groups.shape[2]
    mean = (groups * inside).sum((2, 3, 4), keepdim=True) / count
    variance = ((groups - mean).square() * inside).sum((2, 3, 4), keepdim=True) / count
    normed = ((groups - mean) / (variance + norm.eps).sqrt()).flatten(1, 2)
    return normed * norm.weight[:, None, None] + norm.bias[:, None, None]


def upsample_image(mask: Tensor, x: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """Upsample bilinearly; the image's last row and column are repeated over the padding."""
    inside = resize_mask(mask, x.shape[-2:])[:, 0]
    images = []
    for image, real in zip(x, inside, strict=True):
        height, width = int(real.any(1).sum()), int(real.any(0).sum())
        margin = (0, x.shape[-1] - width, 0, x.shape[-2] - height)
        images.append(F.pad(image[None, :, :height, :width], margin, mode="replicate"))
    return upsample(torch.cat(images), factor, size)


@contextmanager
def corrected(model: nn.Module, mask: Tensor, sources: set[str]) -> Iterator[None]:
    """Within, layers of these kinds treat a padded image as the image alone."""
    head, zero = model.sem_seg_head, partial(zero_padding, mask)
    convs = {
        "backbone": [m for m in model.backbone.modules() if isinstance(m, nn.Conv2d)],
        "head": [
            m for scale in head.scale_heads for m in scale.children() if isinstance(m, nn.Conv2d)
        ],
    }
    with ExitStack() as stack:
        for source in sources & convs.keys():
            for conv in convs[source]:
                if conv.kernel_size != (1, 1):
                    hook = conv.register_forward_pre_hook(lambda conv, args: zero(args[0]))
                    stack.callback(hook.remove)
        if "backbone" in sources:
            # The stem's max-pooling is not a module. After the ReLU before it, zeros never exceed
            # pixels of the image, and so act as the border that the pooling adds.
            hook = model.backbone.stem.conv1.register_forward_hook(lambda m, args, out: zero(out))
            stack.callback(hook.remove)
        if "norm" in sources:
            for norm in [m for m in head.modules() if isinstance(m, nn.GroupNorm)]:
                hook = norm.register_forward_hook(partial(group_norm_of_image, mask))
                stack.callback(hook.remove)
        if "upsampling" in sources:
            stack.enter_context(
                patch.object(vt_fpn_head, "upsample", partial(upsample_image, mask))
            )
        yield


def predict(model: nn.Module, image: Tensor, mate: tuple[int, int], sources: set[str]) -> LogitMap:
    """Return the logits of a normalised image ``(1, 3, H, W)`` in a batch with its mate."""
    size = tuple(image.shape[-2:])
    padded = F.pad(image, (0, mate[1] - size[1], 0, mate[0] - size[0]))
    padded = torch.cat([padded, torch.zeros_like(padded)])
    mask = padding_mask([size, mate], image.device)
    head = model.sem_seg_head
    if mask is None:
        (logits, _) = head.layers(model.backbone(padded))
        return LogitMap(logits, head.common_stride, size)
    with corrected(model, mask, sources):
        features = model.backbone(padded)
        logits = head.layers(features, mask if "tokens" in sources else None)[0]
    if "upsampling" in sources:  # The last upsampling is to the size of the image.
        logits = logits[:, : -(-size[0] // head.common_stride), : -(-size[1] // head.common_stride)]
    return LogitMap(logits, head.common_stride, size)


def changes(
    model: nn.Module, images: list[Tensor], mate: tuple[int, int], sources: set[str]
) -> tuple[float, float]:
    """Return how much the mate changes the predictions, averaged over the images.

    Returns:
        The share of pixels with another label, and the largest change of a logit relative to the
        largest logit.
    """
    labels, logits = [], []
    for image in images:
        alone = predict(model, image, tuple(image.shape[-2:]), set())
        with_mate = predict(model, image, mate, sources)
        expected, found = (x.rows(0, x.size[0]) for x in (alone, with_mate))
        labels.append((expected.argmax(0) != found.argmax(0)).double().mean())
        logits.append((expected - found).abs().max() / expected.abs().max())
    return tuple(float(torch.stack(x).mean()) for x in (labels, logits))


def image_size(text: str) -> tuple[int, int]:
    """Return (height, width) from ``"192x160"``."""
    height, _, width = text.partition("x")
    return int(height), int(width)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config of the model")
    parser.add_argument("--num", type=int, default=24, help="images of the test set (default: 24)")
    parser.add_argument(
        "--mate",
        type=image_size,
        default=(192, 192),
        metavar="HxW",
        help="size of the batch mate (default: 192x192)",
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="config overrides: KEY VALUE ..."
    )
    return parser.parse_args(arguments)


@torch.no_grad()
def main(args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Measure each kind of layer, print the table, and return the changes by row."""
    cfg = load_cfg(args.config_file, args.opts)
    adapt_to_machine(cfg, world_size=1)
    use_trained_weights(cfg, args.opts)
    model = build_model(cfg).eval()
    if not isinstance(model.sem_seg_head, VTFPNHead):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NAME {cfg.MODEL.SEM_SEG_HEAD.NAME}: a VTFPNHead is needed"
        )
    checkpointer = SegmentationCheckpointer(model, input_convention=input_convention(cfg))
    checkpointer.load(cfg.MODEL.WEIGHTS)
    mapper = task_of(cfg).build_mapper(is_train=False)
    records = spread_evenly(DatasetCatalog.get(cfg.DATASETS.TEST[0]), args.num)
    images = [mapper(record)["image"].to(model.device) for record in records]
    images = [((image - model.pixel_mean) / model.pixel_std)[None] for image in images]

    everything = set(SOURCES)
    rows = {
        "nothing corrected, padding in the tokens (`SemanticSegmentor`)": set(),
        "padding out of the tokens (`PaddingAwareSegmentor` in training)": {"tokens"},
        **{f"all corrected but {text}": everything - {key} for key, text in SOURCES.items()},
        "all corrected": everything,
    }
    changed = {text: changes(model, images, args.mate, sources) for text, sources in rows.items()}
    size = "x".join(map(str, images[0].shape[-2:]))
    table = ReportTable(
        f"{len(images)} images of {size} in a batch with one of {args.mate[0]}x{args.mate[1]}",
        ("layers", "labels that change", "largest change of a logit"),
        tuple(
            Row((t, f"{labels:.2%}", f"{logits:.2g}")) for t, (labels, logits) in changed.items()
        ),
    )
    print(f"{table.title}\n\n{table.markdown()}")
    return changed


if __name__ == "__main__":
    with errors_as_messages():
        main(parse_args())
