#!/usr/bin/env python
"""Compare the training mapper's images a second with Detectron2's, on the same files.

    python research/benchmark_loader.py              # fills the tables of docs/data_loading.md

Scenes of 640 x 480 are painted (JPEG and PNG); both mappers resize them to a short side of 640 to
800 and flip half of them, with the same random numbers. In one process they take turns, one pass
over the files each; the figures are medians over the passes, and ratios are those of neighbouring
passes. OpenCV and PyTorch have one thread each, as in a loader's worker process.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))  # where `data_prep` is
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `research` is

import vt_seg  # noqa: F401  (first, as it quiets Detectron2)

# isort: split
import cv2
import numpy as np
import PIL
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T

from data_prep.synthetic.scenes.writer import SceneSet, scene_files, write_scenes
from research.benchmark.machine import cpu_name
from research.benchmark.timing import spread
from research.marked_section import fill_document, read_document
from vt_seg import add_vt_seg_config
from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.data import SemSegMapper, model_input, read_image, read_mask
from vt_seg.data.augmentations import FastResizeTransform

HEIGHT, WIDTH = 480, 640
SHORT_SIDES = (640, 672, 704, 736, 768, 800)

SECTIONS = SPEED, STEPS, DIFFERENCES = (
    "research/benchmark_loader.py speed",
    "research/benchmark_loader.py steps",
    "research/benchmark_loader.py differences",
)
TITLE = "Loading training images"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=positive_int, default=64, help="files (default 64)")
    parser.add_argument(
        "--passes", type=positive_int, default=15, help="over them, each (default 15)"
    )
    parser.add_argument("--files", metavar="DIR", help="where to keep them (default: nowhere)")
    parser.add_argument("--report", default="docs/data_loading.md", help="the file to write into")
    return parser.parse_args()


def make_cfg() -> CfgNode:
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = SHORT_SIDES
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 14
    cfg.DATASETS.TRAIN = ()
    return cfg


def write_files(folder: str, count: int) -> list[dict]:
    write_scenes(folder, SceneSet(train=count, val=0, height=HEIGHT, width=WIDTH))
    files = [scene_files(folder, "train", index + 1) for index in range(count)]
    return [{"file_name": str(i), "sem_seg_file_name": str(m)} for i, m in files]


def seconds(work: Callable[[dict], object], records: Sequence[dict], seed: int) -> float:
    """Of one pass."""
    np.random.seed(seed)
    start = time.perf_counter()
    for record in records:
        work(record)
    return time.perf_counter() - start


def take_turns(works: dict[str, Callable], records: list[dict], passes: int) -> dict[str, list]:
    """Seconds an image of every pass; a pass more comes first and is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for number in range(passes + 1):
        for name, work in works.items():
            taken = seconds(work, records, seed=number) / len(records)
            if number:
                spent[name].append(taken)
    return spent


def steps() -> dict[str, tuple[Callable, Callable]]:
    """The parts of a mapper's work: (ours, Detectron2's), each on a record."""
    size = (HEIGHT, WIDTH, 720, 960)
    fast, stock = FastResizeTransform(*size), T.ResizeTransform(*size)
    image = cv2.resize(
        np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), size[1::-1]
    )
    stock_image = image[:, :, ::-1]  # Detectron2's BGR is RGB seen backwards
    mask = image[:, :, 0] // 20
    large, large_mask = fast.apply_image(image), fast.apply_segmentation(mask)
    flipped, flipped_mask = large[:, ::-1], large_mask[:, ::-1]

    def theirs_to_tensors(_: dict) -> None:
        torch.as_tensor(np.ascontiguousarray(flipped.transpose(2, 0, 1)))
        torch.as_tensor(flipped_mask.astype("long"))

    nothing = T.AugmentationList([])
    return {
        "read the image": (
            lambda record: read_image(record["file_name"]),
            lambda record: detection_utils.read_image(record["file_name"], "BGR"),
        ),
        "read the mask": (
            lambda record: read_mask(record["sem_seg_file_name"]),
            lambda record: detection_utils.read_image(record["sem_seg_file_name"], "L").squeeze(2),
        ),
        "resize the image (x1.5)": (
            lambda _: fast.apply_image(image),
            lambda _: stock.apply_image(stock_image),
        ),
        "resize the mask (x1.5)": (
            lambda _: fast.apply_segmentation(mask),
            lambda _: stock.apply_segmentation(mask),
        ),
        "flipped, to tensors": (
            lambda _: model_input(flipped, nothing, flipped_mask),
            theirs_to_tensors,
        ),
    }


def differences(ours: Callable, theirs: Callable, records: list[dict]) -> tuple[int, float, int]:
    """Between the images: largest, mean, in grey levels; between the masks: pixels."""
    largest, means, labels = 0, [], 0
    for number, record in enumerate(records):
        pair = []
        for mapper in (ours, theirs):
            np.random.seed(number)
            pair.append(mapper(record))
        apart = (pair[0]["image"].int() - pair[1]["image"].int()).abs()
        largest = max(largest, int(apart.max()))
        means.append(float(apart.float().mean()))
        labels += int((pair[0]["sem_seg"] != pair[1]["sem_seg"]).sum())
    return largest, statistics.mean(means), labels


def report(
    spent: dict[str, list],
    parts: dict[str, dict[str, list]],
    apart: tuple,
    images: int,
    passes: int,
) -> dict[str, str]:
    """Return Markdown by section of the document."""
    ours, theirs = spent["vt_seg"], spent["Detectron2"]
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    largest, mean, labels = apart
    rows = [
        f"| {name} | {spread([1e3 * s for s in part['vt_seg']], 2)} "
        f"| {spread([1e3 * s for s in part['Detectron2']], 2)} |"
        for name, part in parts.items()
    ]
    per_second = {name: spread([1 / s for s in values], 1) for name, values in spent.items()}
    machine = (
        f"{cpu_name()}; Python {platform.python_version()}, OpenCV {cv2.__version__}, "
        f"Pillow {PIL.__version__}, PyTorch {torch.__version__}"
    )
    speed = f"""\
| | vt_seg | Detectron2 | ratio |
|---|---|---|---|
| images/s | **{per_second["vt_seg"]}** | {per_second["Detectron2"]} | **{spread(ratios, 2)}** |

Median (range) of {passes} passes over {images} scenes of {WIDTH} x {HEIGHT}.
{machine}."""
    heads = ["| milliseconds an image | vt_seg | Detectron2 |", "|---|---|---|"]
    return {
        SPEED: speed,
        STEPS: "\n".join([*heads, *rows]),
        DIFFERENCES: f"Over these files: images by at most {largest} grey level ({mean:.3f} on "
        f"average), masks in {labels} pixels.",
    }


def main(args: argparse.Namespace) -> None:
    with errors_as_messages():
        read_document(args.report, TITLE, SECTIONS)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    cfg = make_cfg()
    mappers = {"vt_seg": SemSegMapper(cfg, True), "Detectron2": DatasetMapper(cfg, True)}
    with tempfile.TemporaryDirectory() as temporary:
        records = write_files(args.files or temporary, args.images)
        apart = differences(mappers["vt_seg"], mappers["Detectron2"], records)
        spent = take_turns(mappers, records, args.passes)
        parts = {
            name: take_turns({"vt_seg": ours, "Detectron2": theirs}, records, args.passes)
            for name, (ours, theirs) in steps().items()
        }
    sections = report(spent, parts, apart, args.images, args.passes)
    print(*sections.values(), sep="\n\n")
    fill_document(args.report, TITLE, sections)


if __name__ == "__main__":
    main(parse_args())
