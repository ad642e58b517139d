"""Load weights of timm models, from a file or timm's hub, into ``features_only`` models."""

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from .input_conventions import describe_difference, input_convention
from .reading import CheckpointError
from .state_dicts import list_some, read_weights, without_counters

logger = logging.getLogger(__name__)

_STAGE_NAMES = {1: "stem", 2: "res2", 3: "res3", 4: "res4", 5: "res5"}


def import_timm(needed_for: str) -> ModuleType:
    """Return timm, or raise ImportError with the command that installs it."""
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"{needed_for} needs the package timm: pip install 'timm>=1.0'", name="timm"
        ) from error
    return timm


def load_timm_weights(
    features: nn.Module, whole: Any, stages: Mapping[str, int], in_chans: int, path: str = ""
) -> None:
    """Load weights and log how many tensors of each stage were loaded.

    timm converts older key formats and adapts the stem to the number of input channels for whole
    models only, so ``features`` gets its tensors from one. Files are read as data, not by timm.

    Args:
        features: the ``features_only`` model, modified in place.
        whole: the same model in full, without classifier; modified too.
        stages: the stage, 1 (stem) to 5 (res5), of each tensor of ``features``.
        in_chans: channels of the images.
        path: a file with timm's or Hugging Face's keys; "" takes timm's own download or cache.

    Raises:
        CheckpointError: if the file cannot be read, or lacks tensors of ``features``.
        OSError: if the download fails.
    """
    source = dict(whole.pretrained_cfg)
    where = f"MODEL.TIMM.WEIGHTS {path}" if path else f"timm's {source.get('hf_hub_id') or 'file'}"
    if path:
        source.update(state_dict=read_weights(path), source="", custom_load=False)
    absent, unknown = _load_whole(whole, source, in_chans, where, from_file=bool(path))
    if unknown:
        logger.warning(
            f"{where} has {len(unknown)} tensors that {source.get('architecture')} lacks: "
            f"{list_some(unknown)}. If it is a file of another model, set MODEL.TIMM.NAME to that"
        )

    tensors = whole.state_dict()
    by_plain_name = {plain_timm_name(name): name for name in tensors}
    sources = {name: by_plain_name.get(plain_timm_name(name)) for name in stages}
    names = without_counters(stages)
    missing = [name for name in names if sources[name] is None or sources[name] in absent]
    if missing:
        number = len(names) - len(missing)
        raise CheckpointError(
            f"{where} holds {f'only {number}' if number else 'none'} of the {len(names)} tensors "
            f"of the features; missing are {list_some(missing)}: are these weights of another "
            "model?"
        )
    features.load_state_dict({name: tensors[found] for name, found in sources.items() if found})

    counts = Counter(stages[name] for name in names)
    listed = ", ".join(f"{_STAGE_NAMES[stage]} {counts[stage]}" for stage in sorted(counts))
    used = set(sources.values())
    unused = {name.split(".")[0] for name in without_counters(tensors) if name not in used}
    unused |= {"classifier"} if source.get("classifier") else set()
    logger.info(
        f"{where}: loaded {len(names)} of {len(names)} tensors ({listed}); "
        f"not used: {', '.join(sorted(unused)) or 'nothing'}."
    )


def _load_whole(
    whole: Any, source: dict[str, Any], in_chans: int, where: str, from_file: bool
) -> tuple[set[str], list[str]]:
    """Load weights by timm's own loader; return names that were missing, and those not known."""
    from timm.models import load_pretrained

    missing: set[str] = set()
    unknown: list[str] = []

    def note(_: nn.Module, incompatible: Any) -> None:
        missing.update(incompatible.missing_keys)
        unknown.extend(incompatible.unexpected_keys)
        incompatible.unexpected_keys.clear()  # timm would list them all in a warning of its own

    handle = whole.register_load_state_dict_post_hook(note)
    # By timm's convention the converter of older key formats has this name.
    convert = getattr(sys.modules[type(whole).__module__], "checkpoint_filter_fn", None)
    try:
        load_pretrained(
            whole, source, num_classes=0, in_chans=in_chans, filter_fn=convert, strict=False
        )
    except Exception as error:  # of PyTorch, safetensors, huggingface_hub, urllib, requests, ...
        if from_file:
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
    return missing, without_counters(unknown)


def describe_timm_input(cfg: CfgNode, pretrained_cfg: Mapping[str, Any]) -> str:
    """Return how the config's images differ from those of timm's weights, or "".

    timm's models are trained on RGB images in 0..1, so PIXEL_MEAN and PIXEL_STD are 255 times their
    mean and std. Images of another number of channels are not compared.
    """
    mean, std = ([round(255 * x, 3) for x in pretrained_cfg[key]] for key in ("mean", "std"))
    if len(cfg.MODEL.PIXEL_MEAN) != len(mean):
        return ""
    expected = {"FORMAT": "RGB", "PIXEL_MEAN": mean, "PIXEL_STD": std}
    return describe_difference(expected, input_convention(cfg))


def plain_timm_name(name: str) -> str:
    """Return a tensor's name in the spelling that all of timm's feature wrappers share.

    Some flatten ``stages.0.blocks`` to ``stages_0.blocks``, others put ``model.`` before it.
    """
    return name.removeprefix("model.").replace(".", "_")
