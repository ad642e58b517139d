"""Load weights of timm models, from a file or timm's hub, into ``features_only`` models."""

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from .input_conventions import describe_difference, input_convention
from .reading import CheckpointError
from .state_dicts import read_weights, without_counters

logger = logging.getLogger(__name__)

_STAGE_NAMES = {1: "stem", 2: "res2", 3: "res3", 4: "res4", 5: "res5"}


def load_timm_weights(
    features: nn.Module,
    whole: nn.Module,
    stages: Mapping[str, int],
    in_chans: int,
    path: str = "",
) -> None:
    """Load weights and log how many tensors of each stage were loaded.

    timm converts older key formats and adapts the stem to the number of input channels for whole
    models only, so ``features`` gets its tensors from one. Files are read as data by
    :func:`.state_dicts.read_weights`, not by timm, whose older versions run the code of pickles.

    Args:
        features: the ``features_only`` model, modified in place.
        whole: the same model in full, without classifier; modified too.
        stages: the stage, 1 (stem) to 5 (res5), of each tensor of ``features``.
        in_chans: channels of the images.
        path: a file with timm's or Hugging Face's keys; "" takes what timm has for the model, which
            it downloads or finds in its cache.

    Raises:
        CheckpointError: if the file cannot be read, or lacks tensors of ``features``.
        OSError: if the download fails.
    """
    from timm.models import load_pretrained

    source: dict[str, Any] = dict(whole.pretrained_cfg)  # type: ignore[arg-type]  # a dict in timm
    where = f"MODEL.TIMM.WEIGHTS {path}" if path else f"timm's {source.get('hf_hub_id') or 'file'}"
    if path:
        source.update(state_dict=read_weights(path), source="", custom_load=False)
    missing: list[str] = []
    unexpected: list[str] = []

    def note_incompatible(_: nn.Module, incompatible: Any) -> None:
        missing.extend(incompatible.missing_keys)
        unexpected.extend(incompatible.unexpected_keys)

    handle = whole.register_load_state_dict_post_hook(note_incompatible)
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
            raise CheckpointError(
                f"{where} cannot be loaded into {source.get('architecture')}: {error}. It must be "
                "a file of that timm model"
            ) from error
        raise OSError(
            f"MODEL.TIMM.PRETRAINED True: {where} cannot be downloaded ({type(error).__name__}: "
            f"{error}). Without a network, download the model's file elsewhere and set "
            "MODEL.TIMM.WEIGHTS to it, or set PRETRAINED False"
        ) from error
    finally:
        handle.remove()

    tensors = whole.state_dict()
    by_plain_name = {plain_name(name): name for name in tensors}
    sources = {name: by_plain_name.get(plain_name(name)) for name in stages}
    names = without_counters(stages)
    absent = [name for name in names if sources[name] is None or sources[name] in missing]
    if absent:
        number = len(names) - len(absent)
        raise CheckpointError(
            f"{where} holds {f'only {number}' if number else 'none'} of the {len(names)} tensors "
            f"of the features; missing are {', '.join(absent[:3])}{', ...' if absent[3:] else ''}: "
            "are these weights of another model?"
        )
    features.load_state_dict({name: tensors[found] for name, found in sources.items() if found})

    counts = Counter(stages[name] for name in names)
    used = set(sources.values())
    rest = {n.split(".")[0] for n in without_counters([*tensors, *unexpected]) if n not in used}
    classifier = source.get("classifier") or ()
    rest |= {classifier} if isinstance(classifier, str) else set(classifier)
    logger.info(
        "%s: loaded %s of %d tensors (%s); not used: %s.",
        where,
        len(names),
        len(names),
        ", ".join(f"{_STAGE_NAMES[stage]} {counts[stage]}" for stage in sorted(counts)),
        ", ".join(sorted(rest)) or "nothing",
    )


def describe_timm_input(cfg: CfgNode, pretrained_cfg: Mapping[str, Any]) -> str:
    """Return how the config's images differ from those of timm's weights, or "".

    timm's models are trained on RGB images in 0..1, so PIXEL_MEAN and PIXEL_STD are 255 times their
    mean and std. Images of another number of channels are not compared.
    """
    expected = {
        "FORMAT": "RGB",
        "PIXEL_MEAN": [round(255 * x, 3) for x in pretrained_cfg["mean"]],
        "PIXEL_STD": [round(255 * x, 3) for x in pretrained_cfg["std"]],
    }
    same_channels = len(cfg.MODEL.PIXEL_MEAN) == len(expected["PIXEL_MEAN"])
    return describe_difference(expected, input_convention(cfg)) if same_channels else ""


def plain_name(name: str) -> str:
    """Return a tensor's name in the spelling that all of timm's feature wrappers share.

    Some flatten ``stages.0.blocks`` to ``stages_0.blocks``, others put ``model.`` before it.
    """
    return name.removeprefix("model.").replace(".", "_")
