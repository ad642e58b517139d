"""From a config node, ``MODEL.VT_FPN`` or ``MODEL.VT_RESNET``, to the arguments of the layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import get_norm

from ..config import require_vt_seg_keys
from ..layers.pointwise import NormFactory


def visual_transformer_arguments(cfg: CfgNode, name: str) -> dict[str, Any]:
    """Keyword arguments of the layers from the keys that VT_FPN and VT_RESNET share.

    Raises:
        ValueError: if the config was made without vt_seg's keys.
    """
    require_vt_seg_keys(cfg, f"MODEL.{name}")
    node = cfg.MODEL[name]
    return {
        "num_tokens": node.NUM_TOKENS,
        "token_channels": node.TOKEN_CHANNELS,
        "num_heads": node.NUM_HEADS,
        "pixel_groups": node.PIXEL_GROUPS,
        "token_groups": node.TOKEN_GROUPS,
        "tokenizer": node.TOKENIZER,
        "clustering_steps": node.CLUSTERING_STEPS,
        "recurrent": node.RECURRENT,
        "mixer": node.MIXER,
        "parallel_mixers": node.PARALLEL_MIXERS,
        "projector": node.PROJECTOR,
        "position_code": node.POSITION_CODE,
        "position_size": node.POSITION_SIZE,
        "position_downsamples": node.POSITION_DOWNSAMPLES,
        "revision": node.REVISION,
        "norm": norm_factory(node.NORM),
    }


@contextmanager
def errors_naming(name: str) -> Iterator[None]:
    """Let the layers' errors, which speak of their arguments, name the config node as well."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"MODEL.{name}, whose keys are spelled in capitals: {error}") from error


def norm_factory(name: str) -> NormFactory | None:
    """Detectron2's norm of that name as a factory; None for ``""``."""
    return partial(get_norm, name) if name else None
