#!/usr/bin/env python
"""Draw what a model sees: images after augmentation, their labels, and a legend.

    python tools/visualize_data.py --config-file configs/vtfpn_R50_lip.yaml
    python tools/visualize_data.py --config-file ... --split test
    python tools/visualize_data.py --config-file ... --source dataset       files as they are
    ... --opts INPUT.CROP.ENABLED True

From the loader, the images of training are those that a model is given, in their order for this
seed; those of a test stand beside their ground truth, whose size predictions are brought to. They
go to OUTPUT_DIR/data, with overview.png of all.
"""

import argparse
import os
from collections.abc import Iterator

import vt_seg  # noqa: F401  (registers models and datasets; first, as it quiets Detectron2)

# isort: split
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.utils.env import seed_all_rng

from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.data import mask_loader, read_image
from vt_seg.engine import check_datasets, check_has_datasets, load_cfg, require_segmentation
from vt_seg.engine.data_loaders import build_mapper, build_train_loader
from vt_seg.visualization import Sample, View, draw_samples, spread_evenly


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--source", choices=("loader", "dataset"), default="loader")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--num", type=positive_int, default=12, help="images (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="of order and augmentation")
    parser.add_argument("--output", metavar="DIR", help="default: OUTPUT_DIR/data")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides of the config"
    )
    return parser.parse_args(arguments)


def from_files(cfg: CfgNode, name: str, num: int) -> Iterator[Sample]:
    """Images and masks of a dataset, spread over it, as they are on disk."""
    for record in spread_evenly(DatasetCatalog.get(name), num):
        yield Sample(record["file_name"], (on_disk("image", cfg, record),))


def on_disk(caption: str, cfg: CfgNode, record: dict) -> View:
    head = cfg.MODEL.SEM_SEG_HEAD
    read_labels = mask_loader(head.NUM_CLASSES, head.IGNORE_VALUE)
    labels = read_labels(record["sem_seg_file_name"])
    return View(caption, read_image(record["file_name"], "RGB"), labels)


def from_train_loader(cfg: CfgNode, num: int, seed: int) -> Iterator[Sample]:
    """The first images that training with this seed would give a model."""
    cfg = cfg.clone()
    cfg.SEED, cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = seed, 1, 0
    seed_all_rng(seed)
    for _, (record,) in zip(range(num), build_train_loader(cfg), strict=False):
        labels = record["sem_seg"].numpy()
        yield Sample(record["file_name"], (seen_by_model(cfg, record, labels),))


def from_test_mapper(cfg: CfgNode, name: str, num: int) -> Iterator[Sample]:
    """Images of a dataset, spread over it, as a model sees them in a test, and as they are."""
    mapper = build_mapper(cfg, is_train=False)
    for record in spread_evenly(DatasetCatalog.get(name), num):
        views = seen_by_model(cfg, mapper(record)), on_disk("ground truth", cfg, record)
        yield Sample(record["file_name"], views)


def seen_by_model(cfg: CfgNode, record: dict, labels=None) -> View:
    image = convert_image_to_rgb(record["image"].permute(1, 2, 0), cfg.INPUT.FORMAT)
    return View("what the model sees", image.copy(), labels)


def main(args: argparse.Namespace) -> None:
    cfg = load_cfg(args.config_file, args.opts)
    require_segmentation(cfg)
    check_has_datasets(cfg, is_train=args.split == "train")
    check_datasets(cfg, is_train=args.split == "train")
    names = cfg.DATASETS.TRAIN if args.split == "train" else cfg.DATASETS.TEST
    if args.source == "dataset":
        samples = from_files(cfg, names[0], args.num)
    elif args.split == "test":
        samples = from_test_mapper(cfg, names[0], args.num)
    else:
        samples = from_train_loader(cfg, args.num, args.seed)
    output = args.output or os.path.join(cfg.OUTPUT_DIR, "data")
    written, overview = draw_samples(samples, MetadataCatalog.get(names[0]), output)
    print(f"{len(written)} pictures in {output}, all in {overview}")


if __name__ == "__main__":
    with errors_as_messages():
        main(parse_args())
