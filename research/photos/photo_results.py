"""The result file of a run: scores, seconds, memory and the last signs of life of its tokens."""

import json
import re
import statistics
from pathlib import Path
from typing import Any

import torch

from ..sweep import Run


def read_result(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result of a run; None if it has none yet.

    Raises:
        ValueError: if the result is that of other settings, or damaged.
    """
    if not path.exists():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        before = dict(result["settings"])
        float(result["scores"]["mIoU"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no result of a run ({error!r}): delete the file, and the run is read or "
            "trained again"
        ) from error
    if before != settings:
        keys = sorted({*before, *settings})
        different = [
            f"{key} was {before.get(key)} and is {settings.get(key)}"
            for key in keys
            if before.get(key) != settings.get(key)
        ]
        raise ValueError(
            f"{path} is the result of other settings: {'; '.join(different[:5])}. Use another "
            "--output, or delete the file to train this run anew"
        )
    return result


def seeds_with_results(folder: str, name: str) -> list[int]:
    """Return the seeds of the result files ``NAME_seedN.json`` in a folder."""
    pattern = re.compile(rf"{re.escape(name)}_seed(\d+)\.json")
    names = (path.name for path in Path(folder).glob("*.json"))
    return sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name)))


def collect(run: Run, settings: dict[str, Any], jobs: int) -> dict[str, Any]:
    """Return the result of a finished run from the files that Detectron2 wrote.

    Args:
        run: The run. Its checkpoints but the last are deleted, as only resuming needs them.
        settings: What decided it, by key.
        jobs: Number of runs that shared the device.
    """
    folder = Path(run.output_dir)
    text = (folder / "metrics.json").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    seconds = [line["time"] for line in lines if "time" in line]
    memory = re.findall(r"max_mem: (\d+)M", (folder / "log.txt").read_text(encoding="utf-8"))
    signs = [{k: v for k, v in line.items() if k.startswith("vt/")} for line in lines]
    for checkpoint in folder.glob("model_0*.pth"):
        checkpoint.unlink()
    on_gpu = any(text.startswith("cuda") for text in run.overrides)
    return {
        "settings": settings,
        "scores": run.scores(),
        "seconds_per_iteration": statistics.median(seconds) if seconds else None,
        "memory_mb": max(map(int, memory)) if memory and on_gpu else None,
        "signs": next((found for found in reversed(signs) if found), {}),
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "jobs": jobs,
        "torch": torch.__version__,
    }
