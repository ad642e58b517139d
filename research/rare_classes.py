#!/usr/bin/env python
"""Train on a skewed set of scenes with and without the sampler that repeats rare classes.

    python research/rare_classes.py              # fills the table of docs/losses.md

Of vt_scenes_train those images are kept that lack the class, and a few that have it. The same small
VT-FPN is trained on them with several seeds, with TrainingSampler and with
RepeatFactorTrainingSampler, and evaluated on vt_scenes_val.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.marked_section import fill_document, read_document
from research.provenance import describe_machine, running_command
from research.report_table import ReportTable, Row, print_tables
from vt_seg.command_line import errors_as_messages, positive_int
from vt_seg.data import read_mask
from vt_seg.engine import Trainer, load_cfg
from vt_seg.engine.data_loaders import build_train_loader
from vt_seg.engine.label_counts import label_counts
from vt_seg.engine.training_order import seeded_order

CONFIG = Path(__file__).parents[1] / "configs" / "vtfpn_R18_scenes.yaml"
SECTION = "research/rare_classes.py"
SKEWED = "vt_scenes_skewed"
SAMPLERS = ("TrainingSampler", "RepeatFactorTrainingSampler")


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = partial(parser.add_argument, metavar="N", type=positive_int)
    parser.add_argument("--class-name", default="car", help="the rare class (default: car)")
    add("--rare", default=8, help="images that have it (default: 8)")
    add("--others", default=400, help="images that lack it (default: 400)")
    add("--iterations", default=150, help="of each training (default: 150)")
    add("--batch", default=8, help="images of an iteration (default: 8)")
    add("--seeds", default=3, help="trainings with each sampler (default: 3)")
    parser.add_argument("--threshold", type=float, default=0.3, help="REPEAT_THRESHOLD (0.3)")
    parser.add_argument("--report", default="docs/losses.md", metavar="FILE")
    return parser.parse_args()


def skewed_records(records: Sequence[dict], label: int, rare: int, others: int) -> list[dict]:
    """Return the first ``rare`` records whose mask has the label and ``others`` that lack it."""
    has = [bool((read_mask(record["sem_seg_file_name"]) == label).any()) for record in records]
    with_label = [record for record, one in zip(records, has, strict=True) if one]
    without = [record for record, one in zip(records, has, strict=True) if not one]
    if len(with_label) < rare or len(without) < others:
        raise ValueError(
            f"there are {len(with_label)} images with the class and {len(without)} without it: "
            "lower --rare or --others"
        )
    return with_label[:rare] + without[:others]


def make_cfg(args: argparse.Namespace, sampler: str, seed: int, output: str) -> CfgNode:
    """Return the config of a training."""
    opts = [
        *("MODEL.DEVICE", "cpu", "MODEL.VT_FPN.NORM", "BN", "MODEL.FPN.OUT_CHANNELS", "64"),
        *("INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64"),
        *("DATASETS.TRAIN", f"('{SKEWED}',)", "DATALOADER.NUM_WORKERS", "0"),
        *("DATALOADER.SAMPLER_TRAIN", sampler, "SEED", str(seed), "OUTPUT_DIR", output),
        *("DATALOADER.REPEAT_THRESHOLD", str(args.threshold)),
        *("SOLVER.IMS_PER_BATCH", str(args.batch), "SOLVER.REFERENCE_WORLD_SIZE", "0"),
        *("SOLVER.MAX_ITER", str(args.iterations), "SOLVER.WARMUP_ITERS", "20"),
        *("SOLVER.CHECKPOINT_PERIOD", "100000", "TEST.EVAL_PERIOD", "0"),
        *("SOLVER.DETERMINISTIC", "True"),
    ]
    return load_cfg(str(CONFIG), opts)


def drawn_shares(cfg: CfgNode, label: int) -> tuple[float, float]:
    """Return the shares of the images, and of the labelled pixels, that training draws of a class.

    Those of the masks as they are, before crops and resizing, over the images of the run.
    """
    counts = label_counts(cfg, DatasetCatalog.get(SKEWED))
    drawn = cfg.SOLVER.MAX_ITER * cfg.SOLVER.IMS_PER_BATCH
    order = seeded_order(build_train_loader(cfg))
    assert order is not None
    indices = np.array([i for _, i in islice(order, drawn)])
    seen = counts[indices]
    return float((seen[:, label] > 0).mean()), float(seen[:, label].sum() / seen.sum())


def main(args: argparse.Namespace) -> None:
    """Train, evaluate and fill the table."""
    read_document(args.report, [SECTION])
    metadata = MetadataCatalog.get("vt_scenes_val")
    label = metadata.stuff_classes.index(args.class_name)
    all_records = DatasetCatalog.get("vt_scenes_train")
    records = skewed_records(all_records, label, args.rare, args.others)
    DatasetCatalog.register(SKEWED, lambda: records)
    fields = metadata.as_dict()
    MetadataCatalog.get(SKEWED).set(**{key: fields[key] for key in fields if key != "name"})
    rows = []
    for sampler in SAMPLERS:
        images, pixels, rare, mean = [], [], [], []
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as folder:
                cfg = make_cfg(args, sampler, seed, folder)
                trainer = Trainer(cfg)
                for values, share in zip((images, pixels), drawn_shares(cfg, label), strict=True):
                    values.append(100 * share)
                trainer.resume_or_load(resume=False)
                trainer.train()
                scores = trainer._last_eval_results["sem_seg"]
            rare.append(scores[f"IoU-{args.class_name}"])
            mean.append(scores["mIoU"])
        rows.append(Row((sampler, *map(mean_and_std, (images, pixels, rare, mean)))))
        print(rows[-1], flush=True)
    columns = ("sampler", "images with it, %", "pixels of it, %", "its IoU", "mIoU")
    title = f"{args.class_name} in {args.rare} of {len(records)} images"
    table = ReportTable(title, columns, tuple(rows))
    print_tables([table])
    about = f"{title}; {args.iterations} iterations of {args.batch} images of 64 x 64 pixels"
    about += f", mean and std of {args.seeds} seeds; {describe_machine()}; `{running_command()}`."
    fill_document(args.report, {SECTION: f"{table.markdown()}\n\n{about}"})


def mean_and_std(values: Sequence[float]) -> str:
    """Return "mean ± std" with one digit; the std of one value is 0."""
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {std:.1f}"


if __name__ == "__main__":
    with errors_as_messages():
        main(parse_args())
