#!/usr/bin/env python
"""Draw a trained model's predictions over images.

    python tools/demo.py --config-file configs/vtfpn_R18_scenes.yaml --input a.jpg folder 'x/*.png'
    python tools/demo.py --config-file configs/vtfpn_R18_scenes.yaml --dataset vt_scenes_val
    ... --opts MODEL.WEIGHTS model.pth            default: the final weights in OUTPUT_DIR

With --dataset, image, ground truth and prediction stand side by side, and overview.png shows all.
Pictures are named after their image. Nothing is overwritten: where a name is taken, by another
image or an earlier run, it is numbered.
"""

import argparse
import sys

from vt_seg.command_line import config_parser, errors_as_messages, parse_arguments, positive_int
from vt_seg.engine import (
    SemSegPredictor,
    check_has_datasets,
    folder_for_pictures,
    load_cfg,
    task_of,
    use_trained_weights,
)
from vt_seg.visualization import (
    describe_drawn,
    draw_dataset,
    draw_files,
    find_images,
    require_all_drawn,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = config_parser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", nargs="+", metavar="IMAGE", help="files, folders, patterns")
    source.add_argument("--dataset", metavar="NAME", help="a registered dataset with masks")
    parser.add_argument(
        "--num", type=positive_int, default=12, help="images of the dataset (default 12)"
    )
    parser.add_argument("--output", metavar="DIR", help="default: OUTPUT_DIR/predictions")
    return parse_arguments(parser, arguments)


def main(args: argparse.Namespace) -> None:
    """Load the model and draw."""
    cfg = load_cfg(args.config_file, args.opts, args.imports)
    output = folder_for_pictures(args.output, cfg, "predictions")
    task_of(cfg).require_segmentation()
    if args.dataset:
        cfg.DATASETS.TEST = (args.dataset,)
    check_has_datasets(cfg, is_train=False)
    task_of(cfg).check_datasets(is_train=False)
    use_trained_weights(cfg, args.opts)
    print(f"weights: {cfg.MODEL.WEIGHTS or 'none: random numbers'}")

    if args.input:
        found = find_images(args.input)
        for sentence in found.skipped:
            print(f"skipped: {sentence}", file=sys.stderr)
        predictor = SemSegPredictor(cfg)
        drawn = draw_files(
            *(found.paths, predictor.predict_labels, predictor.metadata, output), predictor.images
        )
        print(describe_drawn(drawn, "pictures", output))
        require_all_drawn(drawn, len(found.paths), found.failures)
    else:
        predictor = SemSegPredictor(cfg)
        predict, images = predictor.predict_labels, predictor.images
        drawn = draw_dataset(args.dataset, args.num, predict, output, images)
        print(describe_drawn(drawn, "comparisons", output))
        require_all_drawn(drawn, len(drawn.written) + len(drawn.failures))


if __name__ == "__main__":
    with errors_as_messages():
        main(parse_args())
