"""Predict images, folders and videos with a trained model; write overlays, label maps and more.

    vt-seg predict --config-file vtfpn_R18_scenes --input a.jpg folder 'x/*.png' clip.mp4
    vt-seg predict --model output/my_data --input folder --recursive --save overlay,labels
    vt-seg predict --config-file vtfpn_R18_scenes --dataset vt_scenes_val
    ... --weights model.pth            default: the newest whole checkpoint in OUTPUT_DIR

Files are named after their image, in subfolders like the input's. Nothing is overwritten: where a
name is taken, by another image or an earlier run, it is numbered. An image that fails is reported,
the others are predicted, and the exit status is 1. With --dataset, image, ground truth and
prediction stand side by side, and overview.png shows all.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial

from vt_seg.command_line import (
    Arguments,
    command,
    model_parser,
    parse_model_arguments,
    positive_int,
)
from vt_seg.engine import folder_for_pictures
from vt_seg.prediction import (
    SAVED,
    TILE_TOKENS,
    Predictor,
    is_video,
    load_model_config,
    matching_videos,
    predict_files,
    predict_video,
)
from vt_seg.visualization import Drawn, describe_drawn, draw_dataset, find_images, require_all_drawn


def parse_args(arguments: Arguments = None, prog: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = model_parser(__doc__, prog)
    add = parser.add_argument
    add("--weights", metavar="FILE", help="of the model")
    add_source = parser.add_mutually_exclusive_group(required=True).add_argument
    images = "files, folders, patterns, videos"
    add_source("--input", nargs="+", action="extend", metavar="IMAGE", help=images)
    add_source("--webcam", type=int, metavar="N", help="its number, the first is 0")
    add_source("--dataset", metavar="NAME", help="a registered dataset with masks")
    add("--recursive", action="store_true", help="search folders below --input")
    add("--num", type=positive_int, default=12, help="images of the dataset (default 12)")
    add("--frames", type=positive_int, metavar="N", help="of videos and webcam (default all)")
    add("--output", metavar="DIR", help="default: OUTPUT_DIR/predictions")
    add(
        "--save",
        type=_saved,
        default=["overlay"],
        metavar="WHAT,...",
        help=f"any of {','.join(SAVED)} (default overlay)",
    )
    running = parser.add_argument_group("how the model runs")
    running.add_argument(
        "--batch-size", type=positive_int, default=1, metavar="N", help="images at once (default 1)"
    )
    running.add_argument("--device", help="cpu, cuda, cuda:1 (default: MODEL.DEVICE)")
    running.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="default: TEST.DTYPE"
    )
    running.add_argument(
        "--tile", type=positive_int, metavar="N", help="predict larger images in N x N tiles"
    )
    running.add_argument(
        "--overlap", type=int, default=128, metavar="N", help="of tiles, in pixels (default 128)"
    )
    running.add_argument(
        "--tile-tokens",
        choices=TILE_TOKENS,
        help="whose visual tokens tiles read (default image, where the model allows it)",
    )
    return parse_model_arguments(parser, arguments)


def run(args: argparse.Namespace) -> None:
    """Load the model, predict, and write files.

    Raises:
        OSError: if the model cannot be read, or nothing can be written.
        ValueError: if an argument is wrong; or, with a line each, if images were not predicted.
    """
    config = load_model_config(args.model or args.config_file, args.opts, args.imports)
    output = folder_for_pictures(args.output, config.cfg, "predictions")
    if args.dataset is not None:
        config.cfg.DATASETS.TEST = (args.dataset,)
        config = config._replace(has_classes=False)
    cfg = config.checked(args.weights)
    print(f"weights: {cfg.MODEL.WEIGHTS or 'none: random numbers'}")
    videos = [v for path in args.input or () if is_video(path) for v in matching_videos(path)]
    inputs = [path for path in args.input or () if not is_video(path)]
    found = find_images(inputs, below=args.recursive) if inputs else None
    for sentence in found.skipped if found else ():
        print(f"skipped: {sentence}", file=sys.stderr)
    names = "device", "dtype", "batch_size", "tile", "overlap", "tile_tokens"
    if found:
        _leave_out_outputs(found.paths, inputs, output)
    predictor = Predictor(cfg, **{name: getattr(args, name) for name in names})

    if args.dataset is not None:
        predict = partial(predictor, channel_order="BGR")
        drawn = draw_dataset(args.dataset, args.num, predict, output, predictor.images)
        print(describe_drawn(drawn, "comparisons", output))
        require_all_drawn(drawn, len(drawn.written) + len(drawn.failures))
        return
    drawn, num_images, failures = Drawn([], [], [], []), 0, []
    if found:
        drawn = predict_files(predictor, found.paths, output, args.save, inputs=inputs)
        num_images, failures = len(found.paths), found.failures
    for video in videos if args.webcam is None else [args.webcam]:
        num_images += 1
        try:
            written = predict_video(predictor, video, output, args.save, num_frames=args.frames)
            drawn.written.extend(written.written)
            drawn.failures.extend(written.failures)
        except (OSError, ValueError) as error:  # the other videos are predicted
            named = str(error) if str(video) in str(error) else f"{video}: {error}"
            drawn.failures.append(named)
    pictures = "pictures" if args.save == ["overlay"] and found else "files"
    print(describe_drawn(drawn, pictures, output))
    require_all_drawn(drawn, num_images, failures)


def _leave_out_outputs(paths: list[str], inputs: Sequence[str], output: str) -> None:
    """Remove, in place, what lies in the output folder, unless an input names that."""
    folder = os.path.realpath(output)
    if any(_is_below(os.path.realpath(entry), folder) for entry in inputs):
        return
    kept = [path for path in paths if not _is_below(os.path.realpath(path), folder)]
    if len(kept) < len(paths):
        print(f"skipped: {output}: {len(paths) - len(kept)} images, as it is the output folder",
              file=sys.stderr)  # fmt: skip
        paths[:] = kept


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _saved(text: str) -> list[str]:
    """Return the parts of "overlay,labels", for argparse's ``type``."""
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    for word in words:
        if word not in SAVED:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(SAVED)}")
    return words


main = command(parse_args, run)
