"""Pretrained weights of timm models: from a file or timm's hub into a ``features_only`` model."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from torch import nn

logger = logging.getLogger(__name__)

_STAGE_NAMES = {1: "stem", 2: "res2", 3: "res3", 4: "res4", 5: "res5"}


def load_timm_weights(
    features: nn.Module,
    whole: nn.Module,
    stages: Mapping[str, int],
    in_chans: int,
    path: str = "",
) -> None:
    """Load weights through timm's own loader, and log how many tensors of each stage came along.

    timm reads the file, converts older key formats and adapts the stem to the number of input
    channels, all of which it does for whole models only; `features` gets its tensors from there.

    Args:
        features: the ``features_only`` model, modified in place.
        whole: the same model in full, without classifier; modified too.
        stages: the stage, 1 (stem) to 5 (res5), of each tensor of `features`.
        in_chans: channels of the images.
        path: a ``.safetensors`` or ``.pth`` file with timm's or Hugging Face's keys; "" takes what
            timm has for the model, which it downloads or finds in its cache.

    Raises:
        FileNotFoundError: if there is no file `path`.
        OSError: if the download fails.
        ValueError: if the file cannot be read, or does not hold every tensor of `features`.
    """
    from timm.models import load_pretrained

    source = dict(whole.pretrained_cfg)
    where = path or f"timm's weights {source.get('hf_hub_id') or source.get('url')}"
    if path:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"MODEL.TIMM.WEIGHTS {path}: there is no such file")
        source.update(file=path, state_dict=None, source="", custom_load=False)
    missing: list[str] = []
    unexpected: list[str] = []

    def note(_: nn.Module, incompatible: Any) -> None:
        missing.extend(incompatible.missing_keys)
        unexpected.extend(incompatible.unexpected_keys)

    handle = whole.register_load_state_dict_post_hook(note)
    try:
        load_pretrained(
            whole,
            pretrained_cfg=source,
            num_classes=0,
            in_chans=in_chans,
            # By timm's convention the converter of older key formats has this name.
            filter_fn=getattr(sys.modules[type(whole).__module__], "checkpoint_filter_fn", None),
            strict=False,
        )
    except Exception as error:  # of PyTorch, safetensors, huggingface_hub, urllib, requests, ...
        if path:
            raise ValueError(
                f"MODEL.TIMM.WEIGHTS {path} cannot be loaded into {source.get('architecture')}: "
                f"{error}. It must be a .safetensors or .pth file of that timm model"
            ) from error
        raise OSError(
            f"MODEL.TIMM.PRETRAINED True: {where} cannot be downloaded ({type(error).__name__}: "
            f"{error}). Without a network, download the model's file elsewhere and set "
            "MODEL.TIMM.WEIGHTS to it, or set PRETRAINED False"
        ) from error
    finally:
        handle.remove()

    by_plain_name = {plain_name(name): name for name in whole.state_dict()}
    sources = {name: by_plain_name.get(plain_name(name)) for name in stages}
    # Counters of batch norms are optional in files, and PyTorch never misses them.
    stages = {k: v for k, v in stages.items() if not k.endswith(".num_batches_tracked")}
    absent = [name for name in stages if sources[name] is None or sources[name] in missing]
    if absent:
        number = len(stages) - len(absent)
        raise ValueError(
            f"{where} holds {f'only {number}' if number else 'none'} of the {len(stages)} tensors "
            f"of the features; missing are {', '.join(absent[:3])}{', ...' if absent[3:] else ''}: "
            "are these weights of another model?"
        )
    tensors = whole.state_dict()
    features.load_state_dict({name: tensors[found] for name, found in sources.items()})

    counts = Counter(stages.values())
    used = set(sources.values())
    rest = {name.split(".")[0] for name in [*tensors, *unexpected] if name not in used}
    classifier = source.get("classifier") or ()
    rest |= {classifier} if isinstance(classifier, str) else set(classifier)
    logger.info(
        "%s: loaded %s of %d tensors (%s); not used: %s.",
        where,
        len(stages),
        len(stages),
        ", ".join(f"{_STAGE_NAMES[stage]} {counts[stage]}" for stage in sorted(counts)),
        ", ".join(sorted(rest)) or "nothing",
    )


def warn_about_input(cfg: CfgNode, pretrained_cfg: Mapping[str, Any]) -> None:
    """Log a warning where the config's images differ from those that the weights were trained on.

    timm's models are trained on RGB images in 0..1, so PIXEL_MEAN and PIXEL_STD are 255 times their
    mean and std.
    """
    expected = {
        "MODEL.PIXEL_MEAN": [round(255 * x, 3) for x in pretrained_cfg["mean"]],
        "MODEL.PIXEL_STD": [round(255 * x, 3) for x in pretrained_cfg["std"]],
    }
    given = {"MODEL.PIXEL_MEAN": cfg.MODEL.PIXEL_MEAN, "MODEL.PIXEL_STD": cfg.MODEL.PIXEL_STD}
    wrong = [
        key
        for key, values in expected.items()
        if len(given[key]) == len(values) and not np.allclose(given[key], values, atol=0.5)
    ]
    differences = [f"{key} {list(given[key])}" for key in wrong]
    hints = [f'{key} "{expected[key]}"' for key in wrong]
    if cfg.INPUT.FORMAT != "RGB" and len(cfg.MODEL.PIXEL_MEAN) == 3:
        differences.insert(0, f"INPUT.FORMAT {cfg.INPUT.FORMAT}")
        hints.insert(0, "INPUT.FORMAT RGB")
    if differences:
        logger.warning(
            "The weights of %s were trained with another input than %s: set %s.",
            cfg.MODEL.TIMM.NAME,
            ", ".join(differences),
            " ".join(hints),
        )


def plain_name(name: str) -> str:
    """Return a tensor's name in the spelling that all of timm's feature wrappers share.

    Some flatten ``stages.0.blocks`` to ``stages_0.blocks``, others put ``model.`` before it.
    """
    return name.removeprefix("model.").replace(".", "_")
