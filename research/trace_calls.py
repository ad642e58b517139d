#!/usr/bin/env python
"""Count the calls of vt_seg's functions in one training forward and one label inference.

    python research/trace_calls.py                   # configs/vtfpn_R18_scenes.yaml
    python research/trace_calls.py --quiet           # the totals alone

A reader who follows an image through the model opens these files. Every Python frame of vt_seg
counts as a call, comprehensions and resumed generators included; frames of PyTorch and Detectron2
do not count. A change of file is a call whose file is not that of the call before it.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

import vt_seg
from vt_seg.engine import adapt_to_machine, load_cfg

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(vt_seg.__file__).parent


@dataclass(frozen=True)
class Trace:
    """The files of vt_seg's frames, in the order of their calls."""

    files: tuple[str, ...]

    @property
    def num_calls(self) -> int:
        """Number of Python frames that were entered."""
        return len(self.files)

    @property
    def num_changes(self) -> int:
        """Number of calls into another file than that of the call before."""
        return sum(a != b for a, b in zip(self.files, self.files[1:], strict=False))

    @property
    def calls_by_file(self) -> dict[str, int]:
        """Number of calls by file, most calls first."""
        return dict(Counter(self.files).most_common())

    def __str__(self) -> str:
        """Return the totals in one line."""
        return (
            f"{self.num_calls} calls, {self.num_changes} changes of file, "
            f"{len(self.calls_by_file)} files"
        )


def trace(function: Callable[..., Any], *arguments: Any) -> Trace:
    """Call a function once and return the trace of vt_seg's frames."""
    files: list[str] = []
    package = f"{PACKAGE}/"

    def record(frame: FrameType, event: str, argument: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(package):
            files.append(name.removeprefix(package))

    sys.setprofile(record)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return Trace(tuple(files))


def trace_training(cfg: CfgNode) -> Trace:
    """Trace one forward in training, from a batch of one image to its losses."""
    model = build_model(cfg).train()
    batch = random_batch(cfg)
    model(batch)  # Buffers that are made at the first call are not counted.
    return trace(model, batch)


def trace_inference(cfg: CfgNode) -> Trace:
    """Trace one inference from an image to its label map, by the optimized model."""
    from vt_seg.inference import optimize

    predict = optimize(build_model(cfg).eval()).predict_labels
    batch = random_batch(cfg)
    with torch.no_grad():
        predict(batch)
        return trace(predict, batch)


def random_batch(cfg: CfgNode) -> list[dict]:
    """Return one random image with its label map, as a mapper gives them."""
    generator = torch.Generator().manual_seed(0)
    num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    image = torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, num_classes, (128, 128), generator=generator)
    return [{"image": image, "sem_seg": labels, "height": 128, "width": 128}]


def load_cpu_cfg(config_file: str) -> CfgNode:
    """Return a config for a model on the CPU."""
    cfg = load_cfg(config_file, ["MODEL.DEVICE", "cpu"])
    adapt_to_machine(cfg, world_size=1)
    return cfg


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config-file",
        default=ROOT / "configs" / "vtfpn_R18_scenes.yaml",
        metavar="FILE",
        help="config of a semantic segmentor",
    )
    parser.add_argument("--quiet", action="store_true", help="print the totals alone")
    return parser.parse_args()


def main() -> None:
    """Trace both and print the totals, with the calls of each file."""
    args = parse_args()
    cfg = load_cpu_cfg(str(args.config_file))
    for title, traced in (
        ("training forward", trace_training(cfg)),
        ("label inference", trace_inference(cfg)),
    ):
        print(f"{title}: {traced}")
        if not args.quiet:
            for name, calls in traced.calls_by_file.items():
                print(f"{calls:6d}  vt_seg/{name}")


if __name__ == "__main__":
    main()
