"""Milliseconds per image of the rows: from an image to its label map, as an evaluation runs."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from vt_seg.engine import adapt_to_machine
from vt_seg.files import write_atomically
from vt_seg.inference import optimize
from vt_seg.layers import Size

from ..benchmark.timing import Work, take_turns


def label_work(cfg: CfgNode, size: Size) -> Work:
    """Return the work of making the label map of one uint8 image of noise, in single precision.

    The model has random weights, which do not change its time, and is optimized, as in an
    evaluation (``TEST.OPTIMIZE``).
    """
    cfg = cfg.clone()
    cfg.MODEL.TIMM.PRETRAINED, cfg.MODEL.TIMM.WEIGHTS = False, ""
    adapt_to_machine(cfg, world_size=1, wants_gpu=cfg.MODEL.DEVICE != "cpu")
    torch.manual_seed(0)
    model = optimize(build_model(cfg).eval())
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    return partial(model.predict_labels, [{"image": image, "height": size[0], "width": size[1]}])


def milliseconds_per_image(
    cfgs: Mapping[str, CfgNode], size: Size, rounds: int
) -> dict[str, float]:
    """Return the median milliseconds of each row; the rows take turns in every round.

    Args:
        cfgs: Configs by row, all with the same ``MODEL.DEVICE``.
        size: Height and width of the image.
        rounds: Number of rounds.
    """
    works = {name: label_work(cfg, size) for name, cfg in cfgs.items()}
    device = next(iter(cfgs.values())).MODEL.DEVICE
    found = take_turns(works, rounds, device)
    return {name: 1e3 * found.median(name) for name in works}


def timed_on(device: str) -> str:
    """Return the name of the device, for a CPU with its number of threads."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def kept_times(path: Path, cfgs: Mapping[str, CfgNode], size: Size, rounds: int) -> dict[str, Any]:
    """Return ``{"device": ..., "ms": {row: ...}}`` of a file, measured anew if it lacks a row.

    With 0 rounds nothing is measured, and ``ms`` may be empty.
    """
    device = timed_on(next(iter(cfgs.values())).MODEL.DEVICE)
    if path.exists():
        times = json.loads(path.read_text(encoding="utf-8"))
        if times["device"] == device and cfgs.keys() <= times["ms"].keys():
            return times
    if not rounds:
        return {"device": "not timed", "ms": {}}
    times = {"device": device, "ms": milliseconds_per_image(cfgs, size, rounds)}
    write_atomically(path, json.dumps(times, indent=1).encode())
    return times
