#!/usr/bin/env python
"""Compare VT-FPN with FPN on vt_scenes: one recipe, several seeds each.

    python research/compare_scenes.py                       # fills the tables of docs/scenes.md
    python research/compare_scenes.py --parallel 2 --threads 1      # two trainings at a time
    python research/compare_scenes.py --output DIR          # finished runs in DIR are not trained

Finished runs are kept and unfinished ones resumed, so the script may be interrupted and run again.
Context classes, whose labels are decided by something far away in the image, have columns of their
own.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.marked_section import fill_document, read_document
from research.provenance import describe_machine, running_command
from research.report_table import ReportTable, Row, print_tables, spread
from research.sweep import Run, add_sweep_arguments, last_scores, scores_by_iteration, train_all
from vt_seg.command_line import errors_as_messages

CONFIGS = ("vtfpn_R18_scenes", "fpn_R18_scenes")
SECTION = "research/compare_scenes.py"
SCORES = {"mIoU": "mIoU", "mIoU-local": "local classes", "mIoU-context": "context classes"}

Scores = Mapping[str, float]


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)"
    )
    add_sweep_arguments(parser, output="output/compare_scenes", table="docs/scenes.md")
    return parser.parse_args()


def score_table(scores: Mapping[str, Sequence[Scores]], seeds: Sequence[int]) -> ReportTable:
    """Return the scores of every run, then the median with the range and the mean by config."""
    rows = []
    for name, runs in scores.items():
        for seed, run in zip(seeds, runs, strict=True):
            rows.append(Row((name, str(seed), *(f"{run[key]:.2f}" for key in SCORES))))
    columns = {
        name: [[run[key] for run in runs] for key in SCORES] for name, runs in scores.items()
    }
    for name, values in columns.items():
        rows.append(Row((name, "median (range)", *map(spread, values))))
    for name, values in columns.items():
        rows.append(Row((name, "mean", *(f"{statistics.fmean(v):.2f}" for v in values))))
    return ReportTable(
        "IoU in percent", ("config", "seed", *SCORES.values()), tuple(rows), num_labels=2
    )


def class_table(scores: Mapping[str, Sequence[Scores]]) -> ReportTable:
    """Return the median IoU of each class by config."""
    keys = [key for key in next(iter(scores.values()))[0] if key.startswith("IoU-")]
    rows = []
    for key in keys:
        medians = (statistics.median(run[key] for run in runs) for runs in scores.values())
        rows.append(Row((key.removeprefix("IoU-"), *(f"{median:.2f}" for median in medians))))
    return ReportTable("IoU by class", ("median IoU", *scores), tuple(rows))


def training_table(evaluations: Mapping[str, Sequence[Mapping[int, Scores]]]) -> ReportTable:
    """Return the mIoU of the context classes during training: medians with the range."""
    rows = []
    for iteration in next(iter(evaluations.values()))[0]:
        cells = (
            spread([run[iteration]["mIoU-context"] for run in runs])
            for runs in evaluations.values()
        )
        rows.append(Row((f"{iteration} iterations", *cells)))
    columns = ("context classes after", *evaluations)
    return ReportTable("Context classes during training", columns, tuple(rows))


def main() -> None:
    """Train what is missing, then print and fill the tables."""
    args = parse_args()
    runs = {
        name: [
            Run(
                f"configs/{name}.yaml",
                seed,
                os.path.join(args.output, f"{name}_seed{seed}"),
                tuple(args.opts),
            )
            for seed in args.seeds
        ]
        for name in CONFIGS
    }
    # The order is seed by seed, so that an interrupted sweep has pairs.
    in_pairs = [run for pair in zip(*runs.values(), strict=True) for run in pair]
    try:
        with errors_as_messages():
            read_document(args.table, [SECTION])  # A missing mark is reported before training.
            train_all(in_pairs, args.parallel, args.threads)
    except RuntimeError as error:  # Its message names the logs of the trainings.
        sys.exit(f"error: {error}")
    scores = {name: [last_scores(run.output_dir) for run in group] for name, group in runs.items()}
    evaluations = {
        name: [scores_by_iteration(run.output_dir) for run in group] for name, group in runs.items()
    }
    tables = [score_table(scores, args.seeds), class_table(scores), training_table(evaluations)]
    print_tables(tables)
    source = f"{describe_machine(args.threads)}; `{running_command()}`."
    text = "\n\n".join([*(table.markdown() for table in tables), source])
    fill_document(args.table, {SECTION: text})
    print(f"Filled {args.table}.")


if __name__ == "__main__":
    main()
