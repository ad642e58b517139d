#!/usr/bin/env python
"""Compare VT-FPN with FPN on vt_scenes: the same recipe, several seeds each, one table.

    python research/compare_scenes.py                       # fills the tables of docs/scenes.md
    python research/compare_scenes.py --parallel 2 --threads 1      # two trainings at a time
    python research/compare_scenes.py --output DIR          # finished runs in DIR are not trained

Finished runs are kept and unfinished ones resumed, so it may be interrupted and run again. The
context classes, whose label something far away in the image decides, are reported apart. Only the
part of the table's file between its two marks is written; the rest of it is written by hand.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `research` is

from research.marked_section import fill_document, read_document
from research.sweep import Run, last_scores, scores_by_iteration, train_all
from vt_seg.command_line import errors_as_messages, positive_int

CONFIGS = ("vtfpn_R18_scenes", "fpn_R18_scenes")
SECTION = "research/compare_scenes.py"
TITLE = "VT-FPN compared with FPN on vt_scenes"
SCORES = {"mIoU": "mIoU", "mIoU-local": "local classes", "mIoU-context": "context classes"}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", default="output/compare_scenes", help="folder of the runs")
    parser.add_argument("--table", default="docs/scenes.md", help="the file to write into")
    parser.add_argument("--parallel", type=positive_int, default=1, help="trainings at a time")
    parser.add_argument(
        "--threads", type=positive_int, default=2, help="CPU threads of each training"
    )
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides")
    return parser.parse_args()


def format_table(scores: dict[str, list[dict[str, float]]], seeds: list[int]) -> str:
    """Markdown: a row per config and seed, then medians (range) and means, then per class."""
    lines = [
        "| config | seed | " + " | ".join(SCORES.values()) + " |",
        "|---|---|" + "---|" * len(SCORES),
    ]
    for name, runs in scores.items():
        for seed, run in zip(seeds, runs, strict=True):
            values = " | ".join(f"{run[key]:.2f}" for key in SCORES)
            lines.append(f"| {name} | {seed} | {values} |")
    for name, runs in scores.items():
        cells = []
        for key in SCORES:
            values = [run[key] for run in runs]
            median = statistics.median(values)
            cells.append(f"**{median:.2f}** ({min(values):.2f} to {max(values):.2f})")
        lines.append(f"| {name} | median (range) | {' | '.join(cells)} |")
    for name, runs in scores.items():
        means = " | ".join(f"{statistics.fmean(run[key] for run in runs):.2f}" for key in SCORES)
        lines.append(f"| {name} | mean | {means} |")
    lines += ["", "| median IoU | " + " | ".join(scores) + " |", "|---|" + "---|" * len(scores)]
    for key in next(iter(scores.values()))[0]:
        if key.startswith("IoU-"):
            medians = [statistics.median(run[key] for run in runs) for runs in scores.values()]
            lines.append(f"| {key[4:]} | " + " | ".join(f"{m:.2f}" for m in medians) + " |")
    return "\n".join(lines)


def format_curve(evaluations: dict[str, list[dict[int, dict[str, float]]]]) -> str:
    """Markdown: the context classes while training, median and range over the seeds."""
    iterations = list(next(iter(evaluations.values()))[0])
    lines = [
        "| context classes after | " + " | ".join(evaluations) + " |",
        "|---|" + "---|" * len(evaluations),
    ]
    for iteration in iterations:
        cells = []
        for runs in evaluations.values():
            values = [run[iteration]["mIoU-context"] for run in runs]
            median = statistics.median(values)
            cells.append(f"{median:.2f} ({min(values):.2f} to {max(values):.2f})")
        lines.append(f"| {iteration} iterations | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
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
    # Seed by seed, so that an interrupted sweep has pairs.
    in_pairs = [run for pair in zip(*runs.values(), strict=True) for run in pair]
    try:
        with errors_as_messages():
            # What is wrong with the document shows before training.
            read_document(args.table, TITLE, [SECTION])
            train_all(in_pairs, args.parallel, args.threads)
    except RuntimeError as error:  # of the trainings, whose logs it names
        sys.exit(f"error: {error}")
    scores = {name: [last_scores(run.output_dir) for run in group] for name, group in runs.items()}
    table = format_table(scores, args.seeds)
    curve = format_curve(
        {
            name: [scores_by_iteration(run.output_dir) for run in group]
            for name, group in runs.items()
        }
    )
    seeds = " ".join(map(str, args.seeds))
    overrides = f" --opts {' '.join(args.opts)}" if args.opts else ""
    text = f"""{table}

{curve}

Written by `python research/compare_scenes.py --seeds {seeds} --threads {args.threads}{overrides}`
(PyTorch {torch.__version__.partition("+")[0]}, CPU).
"""
    fill_document(args.table, TITLE, {SECTION: text})
    print(f"{table}\n\nwritten to {args.table}")


if __name__ == "__main__":
    main()
