"""Draw what a model sees: images after augmentation, their labels, and a legend.

    vt-seg visualize data --config-file configs/vtfpn_R50_lip.yaml
    vt-seg visualize data --config-file ... --split test
    vt-seg visualize data --config-file ... --source dataset       files as they are
    ... --opts INPUT.CROP.ENABLED True

From the loader, the images of training are those that a model is given, in their order for this
seed; those of a test stand next to their ground truth, whose size predictions are brought to. They
go to OUTPUT_DIR/data, with overview.png of all.
"""

import argparse

from vt_seg.command_line import Arguments, command, config_parser, parse_arguments, positive_int
from vt_seg.engine import folder_for_pictures, load_cfg, task_of
from vt_seg.visualization import (
    dataset_samples,
    describe_drawn,
    draw_samples,
    require_all_drawn,
    test_samples,
    training_samples,
)


def parse_args(arguments: Arguments = None, prog: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = config_parser(__doc__, prog)
    source = "images as the model is given them, or the files (default loader)"
    parser.add_argument("--source", choices=("loader", "dataset"), default="loader", help=source)
    split = "whose images (default train)"
    parser.add_argument("--split", choices=("train", "test"), default="train", help=split)
    parser.add_argument("--num", type=positive_int, default=12, help="images (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="of order and augmentation")
    parser.add_argument("--output", metavar="DIR", help="default: OUTPUT_DIR/data")
    return parse_arguments(parser, arguments)


def run(args: argparse.Namespace) -> None:
    """Draw the samples that the arguments name."""
    cfg = load_cfg(args.config_file, args.opts, args.imports)
    output = folder_for_pictures(args.output, cfg, "data")
    task, is_train = task_of(cfg), args.split == "train"
    task.require_segmentation()
    task.check_datasets(is_train=is_train)
    name = cfg.DATASETS[args.split.upper()][0]
    if args.source == "dataset":
        samples = dataset_samples(cfg, name, args.num)
    elif is_train:
        samples = training_samples(cfg, args.num, args.seed)
    else:
        samples = test_samples(cfg, name, args.num)
    drawn = draw_samples(samples, task.metadata(args.split.upper()), output)
    print(describe_drawn(drawn, "pictures", output))
    require_all_drawn(drawn, len(drawn.written) + len(drawn.failures))


main = command(parse_args, run)
