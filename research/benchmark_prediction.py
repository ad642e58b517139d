#!/usr/bin/env python
"""Measure Predictor: batches, an image of 6000 x 4000 pixels, and what tiles cost in accuracy.

    python research/benchmark_prediction.py batches --threads 1
    python research/benchmark_prediction.py large --threads 1
    python research/benchmark_prediction.py tiles --model output/vtfpn_R18_scenes

Each command prints tables of docs/predicting.md. Times are those of the processor, so that other
processes disturb them little; without --model the models have random weights.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.provenance import describe_machine
from vt_seg.command_line import errors_as_messages
from vt_seg.engine import load_cfg
from vt_seg.evaluation import build_evaluator
from vt_seg.prediction import Predictor

LARGE_MODEL = "configs/vtfpn_R50_cocostuff171.yaml"
BATCHES = {(128, 128): "configs/vtfpn_R18_scenes.yaml"} | dict.fromkeys(
    [(360, 480), (800, 1216)], LARGE_MODEL
)
FULL_SIZE = ("INPUT.MIN_SIZE_TEST", "0")
Measured = list[tuple[str | float, ...]]


def measure_batches(rounds: int = 3, num_images: int = 8) -> Measured:
    """Return the milliseconds per image by batch size and size of the images.

    The batch sizes take turns; a cell is the median of the rounds.
    """
    rows: Measured = []
    for (height, width), config in BATCHES.items():
        cfg = load_cfg(config, ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", *FULL_SIZE])
        images = list(
            np.random.default_rng(0).integers(0, 256, (num_images, height, width, 3), np.uint8)
        )
        predictors = [Predictor(cfg, batch_size=size) for size in (1, 4, 8)]
        times: list[list[float]] = [[] for _ in predictors]
        for number in range(rounds + 1):
            for predictor, found in zip(predictors, times, strict=True):
                start = time.process_time()
                predictor(images)
                if number:  # the first round warms up
                    found.append((time.process_time() - start) * 1000 / num_images)
        rows.append((f"{height} x {width}, {Path(config).stem}", *map(statistics.median, times)))
    return rows


def measure_large(height: int = 4000, width: int = 6000, tile: int = 1024) -> Measured:
    """Return memory in GiB before and at the peak, and seconds, of a large image in 171 classes."""
    settings = {
        "whole, resized to 800 x 1200": ({}, ()),
        f"tiles of {tile}, resized to 800, own tokens": ({"tile": tile, "tile_tokens": "tile"}, ()),
        f"tiles of {tile}, resized to 800, tokens of the image": ({"tile": tile}, ()),
        f"tiles of {tile} at full resolution, tokens of the image": ({"tile": tile}, FULL_SIZE),
    }
    rows: Measured = []
    for name, (arguments, opts) in settings.items():
        # Peak memory is that of a process, so each row has one of its own.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            done = pool.submit(
                _predict_large, (height, width), arguments, opts, torch.get_num_threads()
            )
            rows.append((name, *done.result()))
    return rows


def _predict_large(
    size: tuple[int, int], arguments: dict, opts: Sequence[str], threads: int
) -> tuple[float, ...]:
    torch.set_num_threads(threads)
    cfg = load_cfg(LARGE_MODEL, ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", *opts])
    predictor = Predictor(cfg, **arguments)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    predictor(image[:64, :64].copy())
    before, start = _peak_gib(), time.process_time()
    predictor(image)
    return before, _peak_gib(), time.process_time() - start


def _peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


# The tiles' whole images are reduced to the length of a tile for their tokens.
TILES: dict[str, tuple[dict, Sequence[str]]] = {
    "whole": ({}, ()),
    "tiles of 96, tokens of the tile": ({"tile": 96, "tile_tokens": "tile"}, FULL_SIZE),
    "tiles of 96, tokens of the image": ({"tile": 96, "tile_tokens": "image"}, FULL_SIZE),
    "whole, reduced to 64": ({}, ("INPUT.MIN_SIZE_TEST", "64")),
    "tiles of 64, tokens of the tile": ({"tile": 64, "tile_tokens": "tile"}, FULL_SIZE),
    "tiles of 64, tokens of the image": ({"tile": 64, "tile_tokens": "image"}, FULL_SIZE),
}


def measure_tiles(model: str, num_images: int = 200) -> Measured:
    """Return mIoU, and that of context and local classes, of vt_scenes_val whole and by tiles."""
    return [
        (name, *_scores(Predictor(model, overrides=opts, overlap=32, **arguments), num_images))
        for name, (arguments, opts) in TILES.items()
    ]


def _scores(predictor: Predictor, num_images: int) -> tuple[float, ...]:
    (name,) = predictor.cfg.DATASETS.TEST
    evaluator = build_evaluator(predictor.cfg, name)
    evaluator.reset()
    for record in DatasetCatalog.get(name)[:num_images]:
        labels = torch.from_numpy(predictor(record["file_name"]))
        evaluator.process([record], [{"sem_seg": labels}])
    scores = evaluator.evaluate()["sem_seg"]
    return tuple(scores[key] for key in ("mIoU", "mIoU-context", "mIoU-local"))


COLUMNS = {
    "batches": ("CPU ms per image", "batch size 1", "4", "8"),
    "large": (f"{LARGE_MODEL}, 6000 x 4000", "GiB before", "GiB at the peak", "CPU seconds"),
    "tiles": ("IoU in percent", "mIoU", "context classes", "local classes"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one of the parts and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=COLUMNS)
    parser.add_argument("--model", metavar="DIR", help="a run on vt_scenes, for tiles")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (default 1)")
    args = parser.parse_args(arguments)
    if args.part == "tiles" and not args.model:
        parser.error("tiles need --model, a run's folder: make demo trains output/vtfpn_R18_scenes")
    torch.set_num_threads(args.threads)
    with errors_as_messages():
        if args.part == "tiles":
            rows = measure_tiles(args.model)
        else:
            rows = measure_batches() if args.part == "batches" else measure_large()
    print(tabulate(rows, COLUMNS[args.part], "pipe", floatfmt=".2f"))
    print(f"\n{describe_machine(args.threads)}")


if __name__ == "__main__":
    main()
