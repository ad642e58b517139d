#!/usr/bin/env python
"""Train the rows of configs/ablations with one budget, several seeds each, and write one table.

    python research/run_ablations.py --iterations 300 --parallel 2 --threads 1
    python research/run_ablations.py --rows 'v4_*' --seeds 0 1 2 3
    python research/run_ablations.py --configs my/rows/*.yaml --opts DATASETS.TRAIN '("my_train",)'

Finished runs are kept and unfinished ones resumed, so it may be interrupted and run again. A row is
compared with the base that it inherits, which is trained too. Only the part of the table's file
between its two marks is written; what was written around it by hand stays.
"""

import argparse
import fnmatch
import os
import shlex
import sys
from pathlib import Path

import torch
from detectron2.config import CfgNode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `research` is

from research.ablations.ablation_rows import AblationRow, read_rows
from research.ablations.ablation_table import AblationResult, format_ablations, format_seeds
from research.marked_section import fill_document, read_document
from research.sweep import Run, budget_overrides, task_of, train_all
from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.complexity import count_cost, usual_image_size
from vt_seg.engine import load_cfg
from vt_seg.engine.linear_lr_scaling import scale_recipe

ROWS = Path(__file__).resolve().parents[1] / "configs" / "ablations"
SECTION = "research/run_ablations.py"
TITLE = "Ablations"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--rows", nargs="+", default=["*"], help="names in configs/ablations, with * if wanted"
    )
    chosen.add_argument("--configs", nargs="+", metavar="FILE", help="configs of your own instead")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument(
        "--iterations",
        type=int,
        help="of every run, in the recipe's own terms (SOLVER.REFERENCE_WORLD_SIZE scales them to "
        "one process); warm-up and steps scale with it. Default: what each config says",
    )
    parser.add_argument("--output", default="output/ablations", help="folder of the runs")
    parser.add_argument("--table", default="docs/ablations.md", help="the file to write")
    parser.add_argument("--parallel", type=positive_int, default=1, help="trainings at a time")
    parser.add_argument(
        "--threads", type=positive_int, default=2, help="CPU threads of each training"
    )
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides")
    return parser.parse_args()


def chosen_rows(args: argparse.Namespace) -> list[AblationRow]:
    """The rows that ``--rows`` or ``--configs`` name, and their bases.

    Raises:
        FileNotFoundError, ValueError: there is no such row, or it cannot be one.
    """
    if args.configs:
        return read_rows(args.configs)
    files = {path.stem: os.path.relpath(path) for path in sorted(ROWS.glob("*.yaml"))}
    for pattern in args.rows:
        if not fnmatch.filter(files, pattern):
            raise ValueError(f"--rows {pattern}: no such row; there are {', '.join(files)}")
    return read_rows(
        [file for name, file in files.items() if any(fnmatch.fnmatch(name, p) for p in args.rows)]
    )


def make_run(row: AblationRow, seed: int, cfg: CfgNode, args: argparse.Namespace) -> Run:
    """The training of a row with a seed."""
    folder = os.path.join(args.output, f"{row.name}_seed{seed}")
    iterations = cfg.SOLVER.MAX_ITER if args.iterations is None else args.iterations
    budget = budget_overrides(cfg, iterations)
    return Run(row.config_file, seed, folder, (*budget, *args.opts), task_of(cfg))


def describe(args: argparse.Namespace, cfg: CfgNode) -> str:
    """What the numbers are, and how to get them."""
    solver = cfg.SOLVER
    command = ["python", "research/run_ablations.py"]
    if args.configs:
        command += ["--configs", *args.configs]
    elif args.rows != ["*"]:
        command += ["--rows", *args.rows]
    command += ["--seeds", *map(str, args.seeds)]
    command += [] if args.iterations is None else ["--iterations", str(args.iterations)]
    command += ["--parallel", str(args.parallel), "--threads", str(args.threads)]
    command += ["--opts", *args.opts] if args.opts else []
    height, width = usual_image_size(cfg)
    device = "GPU" if torch.cuda.is_available() else "CPU"
    return (
        f"{', '.join(cfg.DATASETS.TRAIN)}, tested on {', '.join(cfg.DATASETS.TEST)}: "
        f"{solver.MAX_ITER} iterations of {solver.IMS_PER_BATCH} images at {height}x{width}, "
        f"seeds {' '.join(map(str, args.seeds))}. Scores in percent: mean over the seeds (lowest "
        "to highest).\n\n"
        f"Written by `{shlex.join(command)}` (PyTorch {torch.__version__.partition('+')[0]}, "
        f"{device}, {args.threads} thread{'s' * (args.threads > 1)} a run)."
    )


def main() -> None:
    args = parse_args()
    with errors_as_messages():
        read_document(args.table, TITLE, [SECTION])  # what is wrong with it shows before training
        rows = chosen_rows(args)
        configs = [load_cfg(row.config_file, args.opts) for row in rows]
        groups = [
            [make_run(row, seed, cfg, args) for seed in args.seeds]
            for row, cfg in zip(rows, configs, strict=True)
        ]
        # Seed by seed, so that an interrupted sweep has pairs.
        in_pairs = [run for runs in zip(*groups, strict=True) for run in runs]
        try:
            train_all(in_pairs, args.parallel, args.threads)
        except RuntimeError as error:  # of the trainings, whose logs it names
            sys.exit(f"error: {error}")

    results = []
    for row, cfg, runs in zip(rows, configs, groups, strict=True):
        cost = count_cost(cfg, usual_image_size(cfg))
        results.append(
            AblationResult(
                row,
                [run.scores() for run in runs],
                sum(cost.macs.values()),
                sum(cost.parameters.values()),
            )
        )
    trained = scale_recipe(load_cfg(rows[0].config_file, list(groups[0][0].overrides)), 1)
    sections = (
        format_ablations(results),
        format_seeds(results, args.seeds),
        describe(args, trained),
    )
    text = "\n\n".join(sections)
    fill_document(args.table, TITLE, {SECTION: text})
    print(text, f"written to {args.table}", sep="\n\n")


if __name__ == "__main__":
    main()
