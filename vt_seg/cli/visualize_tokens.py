"""Draw what a trained model's visual tokens look at, and which pixels read them.

    vt-seg visualize tokens --config-file configs/vtfpn_R18_scenes.yaml --input a.jpg
    ... --weights model.pth                       default: the final weights in OUTPUT_DIR

For VT-FPN and VT-ResNet. Writes <name>_tokens.png and <name>_tokens.html; the latter answers when
one points at pixels and tokens, in any browser, without a network. See docs/tokens.md.
"""

import argparse
import os
import sys

from vt_seg.command_line import Arguments, command, config_parser, parse_arguments
from vt_seg.data import ImageReader
from vt_seg.engine import folder_for_pictures, load_cfg, task_of, trained_model, use_trained_weights
from vt_seg.visualization import describe_drawn, draw_tokens, find_images, require_all_drawn


def parse_args(arguments: Arguments = None, prog: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = config_parser(__doc__, prog)
    add = parser.add_argument
    add("--weights", metavar="FILE", help="default: the newest whole checkpoint in OUTPUT_DIR")
    images = {"metavar": "IMAGE", "help": "files, folders, patterns"}
    add("--input", nargs="+", action="extend", required=True, **images)
    add("--output", metavar="DIR", help="default: OUTPUT_DIR/tokens")
    return parse_arguments(parser, arguments)


def run(args: argparse.Namespace) -> None:
    """Load the model and draw its tokens."""
    cfg = load_cfg(args.config_file, args.opts, args.imports)
    output = folder_for_pictures(args.output, cfg, "tokens")
    task = task_of(cfg)
    try:
        task.check_datasets(is_train=False)
    except FileNotFoundError as error:
        # A classifier's classes are named by its dataset's folders, which need not be here.
        print(f"{error}\nSo classes have numbers in place of names.")
    if args.weights:
        if not os.path.isfile(args.weights):
            raise FileNotFoundError(f"--weights {args.weights}: no such file")
        cfg.MODEL.WEIGHTS = args.weights
    else:
        use_trained_weights(cfg, args.opts)
    weights = os.path.basename(cfg.MODEL.WEIGHTS) or "none: random numbers"
    print(f"weights: {cfg.MODEL.WEIGHTS or weights}")
    found = find_images(args.input)
    for sentence in found.skipped:
        print(f"skipped: {sentence}", file=sys.stderr)
    mapper = task.build_mapper(is_train=False)
    drawn = draw_tokens(
        found.paths,
        trained_model(cfg),
        # A classifier's mapper wants a label, which is not used.
        lambda path: mapper({"file_name": path, "label": 0}),
        task.metadata("TEST"),
        output,
        images=ImageReader.of(cfg),
        config=os.path.basename(args.config_file),
        weights=weights,
    )
    print(describe_drawn(drawn, "pictures and pages", output))
    require_all_drawn(drawn, len(found.paths), found.failures)


main = command(parse_args, run)
