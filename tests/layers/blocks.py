"""Small layers and the maps and tokens that they take: 8 channels, odd sizes, float64."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vt_seg.layers import (
    VTFPN,
    NormFactory,
    RecurrentTokenizer,
    Tokenizer,
    VisualTransformer,
    VisualTransformerStack,
    VTConfig,
)
from vt_seg.layers.block import TOKENIZER_CLASSES

SMALL = VTConfig(
    num_tokens=4,
    token_channels=8,
    num_heads=2,
    pixel_groups=2,
    token_groups=2,
    position_size=4,
)
SIZE = (5, 7)
SIZES = (SIZE, (3, 4))
FIRST = ("filter", "pooling", "clustering")
TOKENIZERS = (*FIRST, "recurrent")
REVISIONS = ("v1", "v4")
FIRST_KINDS = [(tokenizer, revision) for tokenizer in FIRST for revision in REVISIONS]
KINDS = [(tokenizer, revision) for tokenizer in TOKENIZERS for revision in REVISIONS]
NORMS = [None, nn.BatchNorm2d]


def small(**changes) -> VTConfig:
    return replace(SMALL, **changes)


def tokenizer_of(kind: str, revision: str = "v1", norm: NormFactory = None, **changes) -> Tokenizer:
    """Make 4 tokens of 12 channels from maps of 8, with 4 heads if recurrent, unless told."""
    config = small(**{"token_channels": 12, "num_heads": 2, "revision": revision, **changes})
    make = RecurrentTokenizer if kind == "recurrent" else TOKENIZER_CLASSES[kind]
    return make(8, config.num_tokens, config, norm)


def block(
    tokenizer: str = "filter",
    revision: str = "v1",
    norm: NormFactory = None,
    *,
    num_levels: int = 1,
    projects: bool = True,
    **changes,
) -> VisualTransformer:
    recurrent = tokenizer == "recurrent"
    changes |= {"tokenizer": "filter" if recurrent else tokenizer, "revision": revision}
    config = small(**changes)
    return VisualTransformer(8, num_levels, config, norm, recurrent=recurrent, projects=projects)


def stack(
    num_layers: int = 2,
    norm: NormFactory = None,
    *,
    num_levels: int = 2,
    tokens_only: bool = False,
    **changes,
) -> VisualTransformerStack:
    config = small(num_layers=num_layers, **changes)
    return VisualTransformerStack(8, num_levels, config, norm, tokens_only=tokens_only)


def neck(in_channels: Sequence[int] = (5, 8), norm: NormFactory = None, **changes) -> VTFPN:
    return VTFPN(in_channels, 8, small(**changes), norm)


def random_maps(
    sizes: Sequence[tuple[int, int]] = SIZES, batch: int = 2, channels: Sequence[int] = (8, 8, 8)
) -> list[Tensor]:
    pairs = zip(channels, sizes, strict=False)
    return [torch.randn(batch, c, *size, dtype=torch.float64) for c, size in pairs]


def random_tokens(numbers: Sequence[int] = (4,), batch: int = 2, channels: int = 8) -> list[Tensor]:
    return [torch.randn(batch, channels, number, dtype=torch.float64) for number in numbers]


def padded(maps: Sequence[Tensor], value: float = 7.0) -> tuple[list[Tensor], Tensor]:
    """Return maps of strides 1, 2, ... in the corner of ones of twice their size, and the mask."""
    larger = [nn.functional.pad(x, (0, x.shape[3], 0, x.shape[2]), value=value) for x in maps]
    mask = torch.zeros(maps[0].shape[0], 1, *larger[0].shape[-2:], dtype=torch.bool)
    mask[:, :, : maps[0].shape[2], : maps[0].shape[3]] = True
    return larger, mask
