#!/usr/bin/env python
"""Compare the images per second of vt_seg's training mapper with Detectron2's.

    python research/benchmark_loader.py              # fills the tables of docs/data_loading.md

Both mappers read the same synthetic scenes of 640 x 480 pixels (JPEG and PNG), resize them to a
short side of 640 to 800 pixels and flip half of them, with the same random numbers. In one process
they alternate, one pass over the files each. Figures are medians over the passes with their range,
and speedups are those of neighbouring passes. OpenCV and PyTorch run one thread each, as in a
loader's worker process.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))  # for `data_prep`
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from data_prep.synthetic.scenes import SceneSet, scene_files, write_scenes
from research.marked_section import fill_document, read_document
from research.provenance import describe_machine, running_command
from research.report_table import ReportTable, Row, print_tables, spread
from vt_seg import add_vt_seg_config
from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.data import SemSegMapper, model_input, read_image, read_mask
from vt_seg.data.augmentations import FastResizeTransform

HEIGHT, WIDTH = 480, 640
SHORT_SIDES = (640, 672, 704, 736, 768, 800)
OURS, THEIRS = "vt_seg", "Detectron2"
SECTIONS = SPEED, STEPS, DIFFERENCES = (
    "research/benchmark_loader.py speed",
    "research/benchmark_loader.py steps",
    "research/benchmark_loader.py differences",
)


class Differences(NamedTuple):
    """Differences between the images and masks of both mappers.

    Attributes:
        largest: Largest difference of two pixels, in grey levels.
        mean: Mean difference, in grey levels.
        mask_pixels: Number of mask pixels with another label.
    """

    largest: int
    mean: float
    mask_pixels: int


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=positive_int, default=64, help="files (default: 64)")
    parser.add_argument(
        "--passes", type=positive_int, default=15, help="passes of each mapper (default: 15)"
    )
    parser.add_argument(
        "--files", metavar="DIR", help="folder to keep the files in (default: a temporary one)"
    )
    parser.add_argument(
        "--report",
        default="docs/data_loading.md",
        metavar="FILE",
        help="document whose tables are filled (default: docs/data_loading.md)",
    )
    return parser.parse_args()


def make_cfg() -> CfgNode:
    """Return the config that both mappers read."""
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = SHORT_SIDES
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 14
    cfg.DATASETS.TRAIN = ()
    return cfg


def write_files(folder: str, count: int) -> list[dict]:
    """Write scenes and return their records."""
    write_scenes(folder, SceneSet(train=count, val=0, height=HEIGHT, width=WIDTH))
    files = [scene_files(folder, "train", index + 1) for index in range(count)]
    return [{"file_name": str(i), "sem_seg_file_name": str(m)} for i, m in files]


def time_in_turns(
    works: Mapping[str, Callable[[dict], object]], records: Sequence[dict], passes: int
) -> dict[str, list[float]]:
    """Return the seconds per image of every pass, by work; a first pass warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(passes + 1):
        for name, work in works.items():
            np.random.seed(number)
            start = time.perf_counter()
            for record in records:
                work(record)
            if number:
                seconds[name].append((time.perf_counter() - start) / len(records))
    return seconds


def mapper_steps() -> dict[str, dict[str, Callable[[dict], object]]]:
    """Return the steps of a mapper's work by library, each a function of a record."""
    size = (HEIGHT, WIDTH, 720, 960)
    fast, stock = FastResizeTransform(*size), T.ResizeTransform(*size)
    image = cv2.resize(
        np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), size[1::-1]
    )
    stock_image = image[:, :, ::-1]  # Detectron2 reverses the channels of RGB without a copy.
    mask = image[:, :, 0] // 20
    flipped = fast.apply_image(image)[:, ::-1]
    flipped_mask = fast.apply_segmentation(mask)[:, ::-1]
    no_augmentation = T.AugmentationList([])

    def stock_to_tensors(_: dict) -> None:
        torch.as_tensor(np.ascontiguousarray(flipped.transpose(2, 0, 1)))
        torch.as_tensor(flipped_mask.astype("long"))

    steps = {
        "read the image": (
            lambda record: read_image(record["file_name"]),
            lambda record: detection_utils.read_image(record["file_name"], "BGR"),
        ),
        "read the mask": (
            lambda record: read_mask(record["sem_seg_file_name"]),
            lambda record: detection_utils.read_image(record["sem_seg_file_name"], "L").squeeze(2),
        ),
        "resize the image (1.5x)": (
            lambda _: fast.apply_image(image),
            lambda _: stock.apply_image(stock_image),
        ),
        "resize the mask (1.5x)": (
            lambda _: fast.apply_segmentation(mask),
            lambda _: stock.apply_segmentation(mask),
        ),
        "flipped arrays to tensors": (
            lambda _: model_input(flipped, no_augmentation, flipped_mask),
            stock_to_tensors,
        ),
    }
    return {name: dict(zip((OURS, THEIRS), pair, strict=True)) for name, pair in steps.items()}


def compare_outputs(mappers: Mapping[str, Callable], records: Sequence[dict]) -> Differences:
    """Return the differences between both mappers' outputs for the same random numbers."""
    largest, means, mask_pixels = 0, [], 0
    for number, record in enumerate(records):
        outputs = []
        for mapper in mappers.values():
            np.random.seed(number)
            outputs.append(mapper(record))
        ours, theirs = outputs
        difference = (ours["image"].int() - theirs["image"].int()).abs()
        largest = max(largest, int(difference.max()))
        means.append(float(difference.float().mean()))
        mask_pixels += int((ours["sem_seg"] != theirs["sem_seg"]).sum())
    return Differences(largest, float(np.mean(means)), mask_pixels)


def speed_table(seconds: Mapping[str, Sequence[float]]) -> ReportTable:
    """Return images per second of both mappers, and the speedup pass by pass."""
    rates = [spread([1 / s for s in seconds[name]], 1) for name in (OURS, THEIRS)]
    speedups = [b / a for a, b in zip(seconds[OURS], seconds[THEIRS], strict=True)]
    row = Row(("images/s", *rates, spread(speedups)))
    return ReportTable("Mapper", ("", OURS, THEIRS, "speedup"), (row,))


def step_table(steps: Mapping[str, Mapping[str, Sequence[float]]]) -> ReportTable:
    """Return milliseconds per image of each step."""
    rows = tuple(
        Row((name, *(spread([1e3 * s for s in seconds[library]]) for library in (OURS, THEIRS))))
        for name, seconds in steps.items()
    )
    return ReportTable("Steps", ("milliseconds per image", OURS, THEIRS), rows)


def difference_table(differences: Differences) -> ReportTable:
    """Return the differences between both mappers' outputs."""
    rows = (
        Row(("largest difference of two pixels, grey levels", str(differences.largest))),
        Row(("mean difference, grey levels", f"{differences.mean:.3f}")),
        Row(("mask pixels with another label", str(differences.mask_pixels))),
    )
    return ReportTable("Differences", ("over all files", ""), rows)


def main(args: argparse.Namespace) -> None:
    """Measure, print and fill the document."""
    with errors_as_messages():
        read_document(args.report, SECTIONS)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    cfg = make_cfg()
    mappers = {OURS: SemSegMapper(cfg, True), THEIRS: DatasetMapper(cfg, True)}
    with tempfile.TemporaryDirectory() as temporary:
        records = write_files(args.files or temporary, args.images)
        differences = compare_outputs(mappers, records)
        seconds = time_in_turns(mappers, records, args.passes)
        steps = {
            name: time_in_turns(step, records, args.passes) for name, step in mapper_steps().items()
        }
    tables = {
        SPEED: speed_table(seconds),
        STEPS: step_table(steps),
        DIFFERENCES: difference_table(differences),
    }
    print_tables(list(tables.values()))
    contents = {name: table.markdown() for name, table in tables.items()}
    machine = describe_machine(1, packages=("opencv-python-headless", "pillow"))
    contents[SPEED] += (
        f"\n\n{args.images} scenes, {args.passes} passes; {machine}; `{running_command()}`."
    )
    fill_document(args.report, contents)
    print(f"Filled {args.report}.")


if __name__ == "__main__":
    main(parse_args())
