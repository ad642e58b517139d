#!/usr/bin/env python
"""Train the rows of configs/ablations with one budget and several seeds, and tabulate them.

    python research/run_ablations.py --iterations 300 --parallel 2 --threads 1
    python research/run_ablations.py --rows 'v4_*' --seeds 0 1 2 3
    python research/run_ablations.py --configs my/rows/*.yaml --opts DATASETS.TRAIN '("my_train",)'

Finished runs are kept and unfinished ones resumed, so the script may be interrupted and run again.
A row is compared with the base that it inherits, which is trained too.
"""

import argparse
import fnmatch
import os
import sys
from pathlib import Path

from detectron2.config import CfgNode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.ablations.ablation_rows import AblationRow, read_rows
from research.ablations.ablation_table import AblationResult, ablation_table, seed_table
from research.marked_section import fill_document, read_document
from research.provenance import describe_machine, running_command
from research.report_table import print_tables
from research.sweep import Run, add_sweep_arguments, budget_overrides, task_of, train_all
from vt_seg.command_line import errors_as_messages
from vt_seg.complexity import count_cost, usual_image_size
from vt_seg.engine import load_cfg
from vt_seg.engine.linear_lr_scaling import scale_recipe

ROWS = Path(__file__).resolve().parents[1] / "configs" / "ablations"
SECTION = "research/run_ablations.py"


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--rows",
        nargs="+",
        default=["*"],
        metavar="NAME",
        help="names of configs in configs/ablations, where * matches anything (default: all)",
    )
    chosen.add_argument("--configs", nargs="+", metavar="FILE", help="configs of your own instead")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="seeds (default: 0 1)")
    parser.add_argument(
        "--iterations",
        type=int,
        help="iterations of every run, before SOLVER.REFERENCE_WORLD_SIZE scales them; warm-up and "
        "steps scale with them (default: each config's)",
    )
    add_sweep_arguments(parser, output="output/ablations", table="docs/ablations.md")
    return parser.parse_args()


def chosen_rows(args: argparse.Namespace) -> list[AblationRow]:
    """Return the rows that ``--rows`` or ``--configs`` name, and their bases.

    Raises:
        FileNotFoundError: if a config is missing.
        ValueError: if no row has such a name, or a config cannot be a row.
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
    """Return the training of a row with a seed."""
    folder = os.path.join(args.output, f"{row.name}_seed{seed}")
    iterations = cfg.SOLVER.MAX_ITER if args.iterations is None else args.iterations
    budget = budget_overrides(cfg, iterations)
    return Run(row.config_file, seed, folder, (*budget, *args.opts), task_of(cfg))


def describe_runs(cfg: CfgNode, args: argparse.Namespace) -> str:
    """Return datasets, budget, seeds, machine and command in one line."""
    height, width = usual_image_size(cfg)
    return (
        f"{', '.join(cfg.DATASETS.TRAIN)}, tested on {', '.join(cfg.DATASETS.TEST)}; "
        f"{cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} images at "
        f"{height}x{width}; seeds {' '.join(map(str, args.seeds))}; "
        f"{describe_machine(args.threads)}; `{running_command()}`."
    )


def main() -> None:
    """Train what is missing, then print and fill the tables."""
    args = parse_args()
    with errors_as_messages():
        read_document(args.table, [SECTION])  # A missing mark is reported before training.
        rows = chosen_rows(args)
        configs = [load_cfg(row.config_file, args.opts) for row in rows]
        groups = [
            [make_run(row, seed, cfg, args) for seed in args.seeds]
            for row, cfg in zip(rows, configs, strict=True)
        ]
        # The order is seed by seed, so that an interrupted sweep has pairs.
        in_pairs = [run for runs in zip(*groups, strict=True) for run in runs]
        try:
            train_all(in_pairs, args.parallel, args.threads)
        except RuntimeError as error:  # Its message names the logs of the trainings.
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
    tables = [ablation_table(results), seed_table(results, args.seeds)]
    print_tables(tables)
    trained = scale_recipe(load_cfg(rows[0].config_file, list(groups[0][0].overrides)), 1)
    text = "\n\n".join([*(table.markdown() for table in tables), describe_runs(trained, args)])
    fill_document(args.table, {SECTION: text})
    print(f"Filled {args.table}.")


if __name__ == "__main__":
    main()
