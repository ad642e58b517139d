#!/usr/bin/env python
"""Compare time and memory of the training step with what saves memory, and dtypes in evaluation.

    python research/small_gpu.py                 # fills the tables of docs/small_gpu.md

Steps and evaluations alternate, and speedups are taken within a round. Memory is that of tensors
that the forward pass keeps for the backward pass, without parameters.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.benchmark.timing import take_turns
from research.marked_section import fill_document, read_document
from research.provenance import describe_machine, running_command
from research.report_table import ReportTable, Row, print_tables, spread
from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.engine import Trainer, load_cfg
from vt_seg.engine.adapt_to_machine import adapt_to_machine
from vt_seg.engine.evaluation import evaluation_autocast, optimized
from vt_seg.engine.training_step import build_training_step

CONFIGS = Path(__file__).parents[1] / "configs"
SECTIONS = ("research/small_gpu.py steps, {}", "research/small_gpu.py evaluation, {}")
SETTINGS: dict[str, list[str]] = {
    "float32": [],
    "bfloat16": ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16"],
    "checkpointing": ["MODEL.BACKBONE.CHECKPOINTING", "True"],
    "ACCUMULATE 2": ["SOLVER.ACCUMULATE", "2"],
}
SETTINGS["all three"] = [value for opts in list(SETTINGS.values()) for value in opts]


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["vtfpn_R50_cocostuff", "fpn_R50_cocostuff"]
    parser.add_argument("--configs", nargs="+", default=names, metavar="NAME")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--size", nargs=2, type=positive_int, default=(256, 320), metavar="N")
    parser.add_argument("--batch", type=positive_int, default=2, help="images (default: 2)")
    parser.add_argument("--rounds", type=positive_int, default=7, help="default: 7")
    parser.add_argument("--threads", type=positive_int, default=1, help="default: 1")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="for all configs"
    )
    parser.add_argument("--report", default="docs/small_gpu.md", metavar="FILE")
    return parser.parse_args()


def make_cfg(args: argparse.Namespace, name: str, opts: list[str]) -> CfgNode:
    """Return a config for random weights on this machine."""
    opts = ["MODEL.DEVICE", args.device, "MODEL.WEIGHTS", "", *args.opts, *opts]
    cfg = load_cfg(str(CONFIGS / f"{name}.yaml"), opts)
    adapt_to_machine(cfg, world_size=1)
    return cfg


def records(args: argparse.Namespace, num_classes: int, count: int) -> list[dict]:
    """Return ``count`` records of random pixels and labels."""
    generator = torch.Generator().manual_seed(0)
    size = tuple(args.size)
    return [
        {
            "image": torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8),
            "sem_seg": torch.randint(0, num_classes, size, generator=generator),
            "height": size[0],
            "width": size[1],
        }
        for _ in range(count)
    ]


class MeasuredStep:
    """A training step on one batch, again and again."""

    def __init__(self, args: argparse.Namespace, name: str, opts: list[str]) -> None:
        torch.manual_seed(0)
        cfg = make_cfg(args, name, opts)
        self.model = Trainer.build_model(cfg).train()
        passes = cfg.SOLVER.ACCUMULATE
        batch = records(args, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, args.batch // passes)
        loader = _Endless(batch)
        optimizer = Trainer.build_optimizer(cfg, self.model)
        self.step = build_training_step(cfg, self.model, loader, optimizer)
        self.step._write_metrics = lambda *_: None  # which needs the storage of a run

    def __call__(self) -> None:
        """Run the step."""
        self.step.run_step()

    def kept_bytes(self) -> int:
        """Return the most bytes of tensors that are kept for a backward pass at any time."""
        parameters = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        kept: dict[int, int] = {}
        most = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        def count(module: nn.Module, *_: object) -> None:
            nonlocal most
            most = max(most, sum(kept.values()))
            kept.clear()

        hook = self.model.register_forward_hook(count)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self()
        hook.remove()
        return most


class _Endless:
    """A loader of one batch."""

    def __init__(self, batch: list[dict]) -> None:
        self.batch = batch

    def __iter__(self) -> "_Endless":
        return self

    def __next__(self) -> list[dict]:
        return self.batch


def step_rows(args: argparse.Namespace, name: str) -> list[Row]:
    """Return time and memory of a model's step with each setting."""
    works = {setting: MeasuredStep(args, name, opts) for setting, opts in SETTINGS.items()}
    kept = {setting: work.kept_bytes() for setting, work in works.items()}
    timed = take_turns(works, args.rounds, args.device)
    return [
        Row(
            (
                *(name, setting, f"{kept[setting] / 2**20:.0f}"),
                *(spread(timed.seconds[setting], 3), spread(timed.speedups(setting, "float32"))),
            )
        )
        for setting in SETTINGS
    ]


def evaluation_rows(args: argparse.Namespace, name: str) -> list[Row]:
    """Return time of a model's label maps in each dtype, and how many pixels change."""
    torch.manual_seed(0)
    cfg = make_cfg(args, name, [])
    model = optimized(cfg, Trainer.build_model(cfg).eval())
    batch = records(args, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, 1)
    dtypes = ["float32", "bfloat16", *(["float16"] if args.device == "cuda" else [])]

    def predict(dtype: str) -> torch.Tensor:
        cfg.TEST.DTYPE = dtype
        with torch.no_grad(), evaluation_autocast(cfg, model):
            return model.predict_labels(batch)[0]

    timed = take_turns({d: partial(predict, d) for d in dtypes}, args.rounds, args.device)
    return [
        Row((name, d, spread(timed.seconds[d], 3), spread(timed.speedups(d, "float32"))))
        for d in dtypes
    ]


def main(args: argparse.Namespace) -> None:
    """Measure and fill the tables."""
    sections = [name.format(args.device) for name in SECTIONS]
    read_document(args.report, sections)
    torch.set_num_threads(args.threads)
    steps = tuple(row for name in args.configs for row in step_rows(args, name))
    evaluations = tuple(row for name in args.configs for row in evaluation_rows(args, name))
    tables = [
        ReportTable(
            "Training step", ("config", "with", "MiB kept", "seconds", "speedup"), steps, 2
        ),
        ReportTable("Evaluation", ("config", "TEST.DTYPE", "seconds", "speedup"), evaluations, 2),
    ]
    print_tables(tables)
    height, width = args.size
    about = (
        f"{height} x {width} pixels, {args.batch} images a step and one an evaluation, "
        f"{args.rounds} rounds; {describe_machine(device=args.device)}; `{running_command()}`."
    )
    contents = [f"{table.markdown()}\n\n{about}" for table in tables]
    fill_document(args.report, dict(zip(sections, contents, strict=True)))


if __name__ == "__main__":
    with errors_as_messages():
        main(parse_args())
