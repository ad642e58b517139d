"""Export a trained segmentor to ONNX or torch.export.

    vt-seg export --config-file my_data.yaml --output my_data.onnx
    vt-seg export --model output/my_data --output my_data.pt2
    ... --int8 my/images/train --evaluate         an int8 file, too, and the mIoU of both
    ... --opts MODEL.WEIGHTS model.pth            default: the newest whole checkpoint in OUTPUT_DIR

The file takes images (N, 3, H, W), uint8 and RGB, of any number and size, and gives label maps
(N, H, W), or with --logits logits (N, classes, H, W). It gets its name once its output was compared
with the model's; otherwise an earlier file stays. --int8 writes NAME_int8.onnx next to it,
calibrated with images of a folder, and --evaluate reports the mIoU of both on DATASETS.TEST.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T

from vt_seg.command_line import (
    Arguments,
    command,
    model_parser,
    parse_model_arguments,
    positive_int,
)
from vt_seg.data import ImageReader, build_augmentations, model_input, read_image
from vt_seg.engine import Trainer, task_of, trained_model
from vt_seg.export import OnnxSegmentor, export_metadata, export_model, format_of, quantize
from vt_seg.prediction import load_model_config
from vt_seg.visualization import find_images


def parse_args(arguments: Arguments = None, prog: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = model_parser(__doc__, prog)
    add = parser.add_argument
    add("--output", required=True, metavar="FILE", help=".onnx or .pt2")
    add("--logits", action="store_true", help="give logits, not label maps")
    images = "images to calibrate with: files, folders"
    add("--int8", nargs="+", action="extend", metavar="IMAGE", help=images)
    add("--num", type=positive_int, default=64, help="at most so many of them (default 64)")
    add("--evaluate", action="store_true", help="report the mIoU of the ONNX files")
    return parse_model_arguments(parser, arguments)


def run(args: argparse.Namespace) -> None:
    """Export, quantize, evaluate."""
    suffix = format_of(args.output)
    int8_path = str(Path(args.output).with_suffix("")) + "_int8.onnx"
    if args.int8:
        format_of(int8_path)
    if suffix != ".onnx" and (args.int8 or args.evaluate):
        raise ValueError(f"--output {args.output}: --int8 and --evaluate need a name in .onnx")
    config = load_model_config(args.model or args.config_file, args.opts, args.imports)
    if config.has_classes and args.evaluate:
        raise ValueError(f"--model {args.model} names no dataset: --evaluate needs --config-file")
    cfg = config.checked()
    cfg.MODEL.DEVICE = "cpu"
    if not ImageReader.of(cfg).reads_colors:
        raise ValueError(
            f"INPUT.IN_CHANNELS is {cfg.INPUT.IN_CHANNELS} and INPUT.DTYPE {cfg.INPUT.DTYPE}: only "
            "models of 8-bit colours are exported"
        )
    calibration: list[str] = []
    if args.int8:
        found = find_images(args.int8)
        for sentence in (*found.skipped, *found.failures):
            print(f"skipped: {sentence}", file=sys.stderr)
        calibration = found.paths[: args.num]
    print(f"weights: {cfg.MODEL.WEIGHTS or 'none: random numbers'}")

    metadata = export_metadata(
        cfg, task_of(cfg).metadata("TEST"), "logits" if args.logits else "labels"
    )
    agreement = export_model(trained_model(cfg), args.output, cfg.INPUT.FORMAT, metadata)
    print(f"wrote {args.output}: {agreement}")
    written = [args.output]
    if args.int8:
        images = calibration_images(cfg, calibration)
        count = quantize(args.output, int8_path, images)
        print(f"wrote {int8_path}: calibrated with {count} images")
        written.append(int8_path)
    if args.evaluate:
        for path in written:
            results = Trainer.test(cfg, OnnxSegmentor(path, cfg.INPUT.FORMAT))
            print(f"{path}: {task_of(cfg).headline(results)}")


def calibration_images(cfg: CfgNode, paths: list[str]) -> Iterator[np.ndarray]:
    """Yield images ``(1, 3, H, W)`` uint8, RGB, of the size at which the model is tested.

    Files that cannot be read are named on stderr.
    """
    augmentations = T.AugmentationList(build_augmentations(cfg, is_train=False))
    for path in paths:
        try:
            image = model_input(read_image(path, "RGB"), augmentations)["image"]
        except (OSError, ValueError) as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        yield image[None].numpy()


main = command(parse_args, run)
