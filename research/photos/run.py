#!/usr/bin/env python
"""Train necks with several seeds on photos, with one budget and recipe, and tabulate them.

    python research/photos/run.py --dataset camvid --seeds 0,1,2 --iterations 2000 --jobs 2
    ... --images DIR --masks DIR        folders with train/, val/, test/ in place of datasets/...
    ... --weights FILE                  timm's weights in place of its download
    ... --split val --base-lr fpn=0.001 vtfpn=0.0005    to choose learning rates

Each run is a process of its own and leaves a result file in --output. A run that has a result is
not trained again, and an interrupted one is resumed from its last checkpoint in --runs, so the same
command may be repeated until all runs are done. The tables are updated after every run and hold all
results of the rows in --output, of other seeds too. At the end the rows are timed on --device, and
mIoU is plotted over multiply-adds and over milliseconds.
"""

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for `research` and `vt_seg`

from research.photos.photo_plots import accuracy_plot
from research.photos.photo_results import collect, read_result, seeds_with_results
from research.photos.photo_rows import ROWS
from research.photos.photo_table import class_table, neck_table, signs_table
from research.photos.photo_timing import kept_times
from research.provenance import running_command
from research.report_table import ReportTable, print_tables, titled_tables
from research.sweep import Run, budget_overrides, is_finished, train_all
from vt_seg.command_line import positive_int
from vt_seg.complexity import count_cost
from vt_seg.engine import load_cfg
from vt_seg.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
TEST_SIZES = {"camvid": (360, 480), "ccp": (495, 330)}


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset", choices=sorted(TEST_SIZES), default="camvid", help="default: camvid"
    )
    parser.add_argument(
        "--rows",
        default="fpn,vtfpn,laterals",
        help=f"names with commas between, of {','.join(ROWS)} (default: fpn,vtfpn,laterals)",
    )
    parser.add_argument(
        "--seeds", default="0,1,2", help="numbers with commas between (default: 0,1,2)"
    )
    parser.add_argument(
        "--iterations", type=positive_int, help="iterations (default: the config's)"
    )
    parser.add_argument(
        "--batch", type=positive_int, help="images per iteration (default: the config's)"
    )
    parser.add_argument(
        "--crop", type=positive_int, help="side of training crops in pixels (default: the config's)"
    )
    parser.add_argument(
        "--base-lr",
        nargs="+",
        default=[],
        metavar="[ROW=]LR",
        help="learning rate of a row, of all rows of a neck (fpn, vtfpn), or without a name of the "
        "rest (default: the config's)",
    )
    parser.add_argument(
        "--split", help="split to evaluate on: train, val or test (default: the config's)"
    )
    parser.add_argument("--images", help="folder that holds train/, val/, ... of images")
    parser.add_argument("--masks", help="folder that holds train/, val/, ... of masks")
    parser.add_argument(
        "--ignore-label",
        type=int,
        default=255,
        help="label in --masks that is ignored (default: 255)",
    )
    parser.add_argument("--weights", help="file for MODEL.TIMM.WEIGHTS")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu or cuda (default: cuda where there is a GPU)",
    )
    parser.add_argument("--jobs", type=positive_int, default=1, help="runs at a time (default: 1)")
    parser.add_argument(
        "--workers", type=int, default=2, help="loader processes per run (default: 2)"
    )
    parser.add_argument(
        "--threads", type=positive_int, default=1, help="CPU threads per run (default: 1)"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=15,
        help="rounds of timing at the end, 0 for none (default: 15); nothing else should run then",
    )
    parser.add_argument(
        "--output",
        default="output/photos/results",
        metavar="DIR",
        help="folder of results and tables (default: output/photos/results)",
    )
    parser.add_argument(
        "--runs",
        default="output/photos/runs",
        metavar="DIR",
        help="folder of logs and checkpoints (default: output/photos/runs)",
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="config overrides: KEY VALUE ..."
    )
    args = parser.parse_args()
    args.rows = args.rows.split(",")
    if unknown := [name for name in args.rows if name not in ROWS]:
        parser.error(f"--rows {unknown[0]}: the rows are {', '.join(ROWS)}")
    if len(args.opts) % 2:
        parser.error(f"--opts {' '.join(args.opts)}: pairs of KEY VALUE are needed")
    if args.rounds < 0:
        parser.error(f"--rounds {args.rounds}: a number of rounds, or 0 for no timing, is needed")
    if not all(seed.isdecimal() for seed in args.seeds.split(",")):
        parser.error(f"--seeds {args.seeds}: whole numbers with commas between are needed")
    args.seeds = [int(seed) for seed in args.seeds.split(",")]
    if (args.images is None) != (args.masks is None):
        parser.error("--images and --masks must be given together")
    try:
        args.base_lr = dict(_learning_rate(text) for text in args.base_lr)
    except ValueError as error:
        parser.error(f"--base-lr: {error}")
    if unknown := [name for name in args.base_lr if name not in ("", *ROWS)]:
        parser.error(f"--base-lr {unknown[0]}=...: the rows are {', '.join(ROWS)}")
    return args


def _learning_rate(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    return name, float(number)


def config_file(dataset: str, row: str) -> str:
    """Return the path of a row's config."""
    path = ROOT / "configs" / "photos" / f"{ROWS[row].neck}_efficientnet_lite0_{dataset}.yaml"
    return os.path.relpath(path)


def recipe(row: str, cfg: CfgNode, args: argparse.Namespace) -> dict[str, Any]:
    """Return the overrides that decide what is trained, by key."""
    values: dict[str, Any] = {}
    iterations = args.iterations or cfg.SOLVER.MAX_ITER
    pairs = [*budget_overrides(cfg, iterations), *ROWS[row].overrides]
    values.update(zip(pairs[::2], pairs[1::2], strict=True))
    if args.batch:
        values["SOLVER.IMS_PER_BATCH"] = args.batch
    if args.crop:
        low, high = cfg.INPUT.MIN_SIZE_TRAIN
        values["INPUT.CROP.SIZE"] = [args.crop, args.crop]
        values["INPUT.MIN_SIZE_TRAIN"] = (max(low, args.crop), max(high, args.crop))
    for name in (row, ROWS[row].neck, ""):
        if name in args.base_lr:
            values["SOLVER.BASE_LR"] = args.base_lr[name]
            break
    if args.split:
        values["DATASETS.TEST"] = (f"{args.dataset}_{args.split}",)
    values.update(zip(args.opts[::2], args.opts[1::2], strict=True))
    return {key: str(value) for key, value in values.items()}


def placement(cfg: CfgNode, args: argparse.Namespace) -> dict[str, Any]:
    """Return the overrides of paths, device, layout and workers, which do not decide the result."""
    values: dict[str, Any] = {
        "MODEL.DEVICE": args.device,
        "DATALOADER.NUM_WORKERS": args.workers,
    }
    if args.device == "cpu":  # a speedup of 1.25; not compared on a GPU
        values["MODEL.CHANNELS_LAST"] = True
    if args.weights:
        values["MODEL.TIMM.WEIGHTS"] = args.weights
    if args.images:
        values["MODEL.SEM_SEG_HEAD.IGNORE_VALUE"] = args.ignore_label
        values["DATASETS.CUSTOM"] = [
            {
                **entry,
                "IMAGES": os.path.join(args.images, _split(entry["NAME"])),
                "MASKS": os.path.join(args.masks, _split(entry["NAME"])),
                "IGNORE_LABEL": args.ignore_label,
            }
            for entry in cfg.DATASETS.CUSTOM
        ]
    return {key: str(value) for key, value in values.items()}


def _split(dataset_name: str) -> str:
    return dataset_name.rpartition("_")[2]


def main() -> None:
    """Train what is missing and write the table after every run."""
    args = parse_args()
    os.makedirs(args.output, exist_ok=True)
    costs, cfgs, runs, results = {}, {}, {}, {row: {} for row in args.rows}
    size = TEST_SIZES[args.dataset]
    try:
        for row in args.rows:
            file = config_file(args.dataset, row)
            cfg = load_cfg(file)
            decisive, where = recipe(row, cfg, args), placement(cfg, args)
            overrides = [text for pair in {**decisive, **where}.items() for text in pair]
            cfgs[row] = load_cfg(file, overrides)
            costs[row] = count_cost(cfgs[row], size)
            finished = seeds_with_results(args.output, f"{args.dataset}_{row}")
            for seed in sorted({*args.seeds, *finished}):
                name = f"{args.dataset}_{row}_seed{seed}"
                settings = {"config": Path(file).name, "seed": seed, **decisive}
                path = Path(args.output, f"{name}.json")
                result = read_result(path, settings)
                if result is not None:
                    results[row][seed] = result
                    continue
                run = Run(file, seed, os.path.join(args.runs, name), tuple(overrides))
                runs[run] = (row, path, settings)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")

    titles = {row: ROWS[row].title for row in args.rows}
    table = Path(args.output, f"{args.dataset}.md")
    times: dict[str, Any] = {"device": "not timed", "ms": {}}
    lock = threading.Lock()

    def write_tables() -> None:
        if any(results.values()):
            trained = {
                f"{result['device']}, {result.get('jobs', args.jobs)} at a time"
                for by_seed in results.values()
                for result in by_seed.values()
            }
            notes = f"Trained on: {'; '.join(sorted(trained))}. Timed on: {times['device']}."
            text = f"{titled_tables(tables())}\n\n{notes}\n\n`{running_command()}`\n"
            write_atomically(table, text.encode())

    def tables() -> list[ReportTable]:
        signs = signs_table(titles, results)
        necks = neck_table(titles, results, costs, times["ms"])
        return [necks, class_table(titles, results), *([signs] if signs else [])]

    def finish(run: Run) -> None:
        row, path, settings = runs[run]
        result = collect(run, settings, args.jobs)
        with lock:
            write_atomically(path, json.dumps(result, indent=1).encode())
            results[row][run.seed] = result
            score = result["scores"]["mIoU"]
            print(f"{path.stem}: mIoU {score:.2f}", flush=True)
            write_tables()

    # The order is seed by seed, so that an interrupted experiment has pairs.
    order = sorted(runs, key=lambda run: args.seeds.index(run.seed))
    error = None
    try:
        train_all(order, args.jobs, args.threads, finish)
        for run in order:  # those that were killed between their last file and their result
            if not runs[run][1].exists() and is_finished(run.output_dir):
                finish(run)
    except (OSError, RuntimeError, ValueError) as raised:
        error = raised
    except KeyboardInterrupt:
        print("Interrupted: repeat the command to go on.", file=sys.stderr)
        sys.exit(130)
    if any(results.values()):
        times = kept_times(Path(args.output, f"{args.dataset}_times.json"), cfgs, size, args.rounds)
        write_tables()
        plot = accuracy_plot(titles, results, costs, times["ms"], times["device"])
        write_atomically(table.with_suffix(".png"), plot)
        print_tables(tables())
    else:
        print("No run has finished.")
    if error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
