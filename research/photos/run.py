#!/usr/bin/env python
"""Train necks x seeds on photos with one budget and recipe, and write one table.

    python research/photos/run.py --dataset camvid --seeds 0,1,2 --iterations 2000 --jobs 2
    ... --images DIR --masks DIR        folders with train/, val/, test/ in place of datasets/...
    ... --weights FILE                  of timm, in place of its download
    ... --split val --base-lr fpn=0.001 vtfpn=0.0005    to choose learning rates

Each run is a process of its own with a result file in --output. A run that has its result is not
trained again, and one that was interrupted goes on from its last checkpoint in --runs, so the same
command may be given until all is done. The table is written anew after every run.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import sys
import threading
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where `research` is

from research.photos.photo_rows import ROWS
from research.photos.photo_table import format_tables
from research.sweep import Run, budget_overrides, train_all
from vt_seg.complexity import count_cost
from vt_seg.engine import load_cfg
from vt_seg.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
TEST_SIZES = {"camvid": (360, 480), "ccp": (495, 330)}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=sorted(TEST_SIZES), default="camvid")
    parser.add_argument("--rows", default="fpn,vtfpn,laterals", help=f"of {','.join(ROWS)}")
    parser.add_argument("--seeds", default="0,1,2", help="numbers with commas between")
    parser.add_argument("--iterations", type=int, help="default: what the configs say")
    parser.add_argument("--batch", type=int, help="images of an iteration")
    parser.add_argument("--crop", type=int, help="side of the training crops in pixels")
    parser.add_argument(
        "--base-lr",
        nargs="+",
        default=[],
        metavar="[ROW=]LR",
        help="for a row, for all rows of a neck (fpn, vtfpn), or without a name for the rest",
    )
    parser.add_argument("--split", help="to evaluate on: train, val or test. Default: the config's")
    parser.add_argument("--images", help="folder of train/, val/, ... of images")
    parser.add_argument("--masks", help="folder of train/, val/, ... of masks")
    parser.add_argument("--ignore-label", type=int, default=255, help="of the masks in --masks")
    parser.add_argument("--weights", help="file for MODEL.TIMM.WEIGHTS")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--workers", type=int, default=2, help="loader processes of each run")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each run")
    parser.add_argument("--output", default="output/photos/results", help="of results and tables")
    parser.add_argument("--runs", default="output/photos/runs", help="of logs and checkpoints")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides")
    args = parser.parse_args()
    args.rows = args.rows.split(",")
    if unknown := [name for name in args.rows if name not in ROWS]:
        parser.error(f"--rows {unknown[0]}: there are {', '.join(ROWS)}")
    if (args.images is None) != (args.masks is None):
        parser.error("--images and --masks belong together: give both or none")
    try:
        args.seeds = [int(seed) for seed in args.seeds.split(",")]
        args.base_lr = dict(_learning_rate(text) for text in args.base_lr)
    except ValueError as error:
        parser.error(f"--seeds or --base-lr: {error}")
    if unknown := [name for name in args.base_lr if name not in ("", *ROWS)]:
        parser.error(f"--base-lr {unknown[0]}=...: there are {', '.join(ROWS)}")
    return args


def _learning_rate(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    return name, float(number)


def config_file(dataset: str, row: str) -> str:
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


def places(cfg: CfgNode, args: argparse.Namespace) -> dict[str, Any]:
    """Return the overrides that say where things are and run, which decide no result."""
    values: dict[str, Any] = {
        "MODEL.DEVICE": args.device,
        "DATALOADER.NUM_WORKERS": args.workers,
    }
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


def read_result(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a run wrote; None if it has not run yet.

    Raises:
        ValueError: if the file is of a run with other settings.
    """
    if not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    before = result["settings"]
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


def collect(run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a finished run from what Detectron2 wrote into its folder."""
    folder = Path(run.output_dir)
    lines = (folder / "metrics.json").read_text(encoding="utf-8").splitlines()
    seconds = [line["time"] for line in map(json.loads, lines) if "time" in line]
    memory = re.findall(r"max_mem: (\d+)M", (folder / "log.txt").read_text(encoding="utf-8"))
    for checkpoint in folder.glob("model_0*.pth"):
        checkpoint.unlink()  # only needed to resume the run
    on_gpu = any(text.startswith("cuda") for text in run.overrides)
    return {
        "settings": settings,
        "scores": run.scores(),
        "seconds_per_iteration": statistics.median(seconds) if seconds else None,
        "memory_mb": max(map(int, memory)) if memory and on_gpu else None,
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "torch": torch.__version__,
    }


def main() -> None:
    args = parse_args()
    os.makedirs(args.output, exist_ok=True)
    costs, runs, results = {}, {}, {row: {} for row in args.rows}
    try:
        for row in args.rows:
            file = config_file(args.dataset, row)
            cfg = load_cfg(file)
            decisive, where = recipe(row, cfg, args), places(cfg, args)
            overrides = [text for pair in {**decisive, **where}.items() for text in pair]
            costs[row] = count_cost(load_cfg(file, overrides), TEST_SIZES[args.dataset])
            for seed in args.seeds:
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
    lock = threading.Lock()

    def write_table() -> str:
        if not any(results.values()):
            return "No run has finished."
        text = format_tables(titles, results, costs, TEST_SIZES[args.dataset])
        command = shlex.join(["python", "research/photos/run.py", *sys.argv[1:]])
        text = f"# {args.dataset}\n\n{text}\n\nWritten by `{command}`.\n"
        write_atomically(table, text.encode())
        return text

    def finish(run: Run) -> None:
        row, path, settings = runs[run]
        result = collect(run, settings)
        with lock:
            write_atomically(path, json.dumps(result, indent=1).encode())
            results[row][run.seed] = result
            score = result["scores"]["mIoU"]
            print(f"{path.stem}: mIoU {score:.2f}", flush=True)
            write_table()

    # Seed by seed, so that an interrupted experiment has pairs.
    order = sorted(runs, key=lambda run: args.seeds.index(run.seed))
    error = None
    try:
        train_all(order, args.jobs, args.threads, finish)
    except (OSError, RuntimeError, ValueError) as raised:
        error = raised
    print(write_table())
    if error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
