"""Say what is wrong with a dataset before a training run finds out; exit status 1 if anything is.

    vt-seg validate vt_lip_train vt_lip_val
    vt-seg validate --images DIR --masks DIR --classes classes.txt
    vt-seg validate --config-file my_data.yaml
    ... --quick           decode 500 pairs, evenly spread; names are compared in full
    ... --json            for machines

With --config-file, the datasets that it trains and tests on (or those named), and whether they fit
the config. Every file is decoded in full, in several processes where they are many.
"""

import argparse
import json

import vt_seg  # noqa: F401  (registers datasets; first, as it quiets Detectron2)

# isort: split
from detectron2.config import CfgNode
from rich.console import Console

from vt_seg.command_line import Arguments, command, config_parser, parse_arguments, positive_int
from vt_seg.data import ImageReader
from vt_seg.data_checks import (
    Finding,
    Level,
    Source,
    config_findings,
    from_folders,
    from_name,
    overlap_findings,
    print_report,
    print_verdict,
    validate,
)
from vt_seg.engine import load_cfg, task_of


def parse_args(arguments: Arguments = None, prog: str | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = config_parser(__doc__, prog, required=False)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="registered datasets")
    add_folder = parser.add_argument_group("folders instead of names").add_argument
    add_folder(
        "--images", metavar="DIR", help='or a template such as "images/{split}/**/{id}_rgb.jpg"'
    )
    add_folder("--masks", metavar="DIR", help="or a template")
    add_folder(
        "--classes", metavar="N|FILE", help="how many, or a list of names in any usual format"
    )
    add_folder("--ignore-label", type=int, default=255, metavar="N", help="default 255")
    add_folder("--split", metavar="NAME", help="what {split} stands for")
    add_folder(
        "--split-list", metavar="FILE", help="take these images only; or an image and a mask a line"
    )
    add_folder(
        "--label-map", metavar="FILE", help="label or class name of each value (YAML, JSON, CSV)"
    )
    add_folder("--reduce-zero-label", action="store_true", help="0 is ignored, classes start at 1")
    add_folder("--image-suffix", default="", help='"_sat" where a_sat.jpg has a.png')
    add_folder("--mask-suffix", default="", help='"_mask" where a.jpg has a_mask.png')
    add_folder("--subset", type=positive_int, metavar="N", help="take N pairs only, evenly spread")
    add(
        "--quick",
        nargs="?",
        const=500,
        type=positive_int,
        metavar="N",
        help="decode N (default 500)",
    )
    add(
        "--num-workers",
        type=positive_int,
        metavar="N",
        help="processes (default: one per 2000 pairs, at most one a core)",
    )
    add("--json", action="store_true", help="print JSON and nothing else")
    args = parse_arguments(parser, arguments)
    given = [bool(value) for value in (args.images, args.masks, args.classes)]
    if any(given) and (not all(given) or args.names or args.config_file):
        parser.error("--images, --masks and --classes go together, without names or a config")
    if not (any(given) or args.names or args.config_file):
        parser.error("name a dataset, or give --config-file, or --images, --masks and --classes")
    return args


def run(args: argparse.Namespace) -> int:
    """Validate, print, and return the exit status: 1 if there is an error."""
    cfg = load_cfg(args.config_file or "", args.opts, args.imports)
    general: list[Finding] = []
    if args.images:
        classes = int(args.classes) if args.classes.isdecimal() else args.classes
        names = ["ignore_label", "split", "split_list", "image_suffix", "mask_suffix", "subset"]
        names += ["label_map", "reduce_zero_label"]
        options = {name: getattr(args, name) for name in names}
        sources = [from_folders(args.images, args.masks, classes, **options)]
    else:
        sources, general = _registered(args, cfg)
    images = ImageReader.of(cfg)
    reports = [validate(source, args.quick, args.num_workers, images=images) for source in sources]
    ok = all(report.ok for report in reports)
    ok = ok and all(finding.level is not Level.ERROR for finding in general)
    if args.json:
        found = [finding.to_dict() for finding in general]
        datasets = [report.to_dict() for report in reports]
        print(json.dumps({"ok": ok, "findings": found, "datasets": datasets}, indent=1))
        return int(not ok)
    console = Console()
    for report in reports:
        print_report(report, console)
    console.rule()
    for finding in general:
        console.print(str(finding), soft_wrap=True, markup=False, highlight=False)
    print_verdict(reports, general, console)
    return int(not ok)


def _registered(args: argparse.Namespace, cfg: CfgNode) -> tuple[list[Source], list[Finding]]:
    """Return the datasets named, or those of the config, and what is wrong between them."""
    if not args.config_file:
        return [_source(name) for name in args.names], []
    task = task_of(cfg)
    task.require_segmentation()
    train = [_source(name) for name in args.names or cfg.DATASETS.TRAIN]
    test = [] if args.names else [_source(name) for name in cfg.DATASETS.TEST]
    findings = config_findings(cfg, mapper_name=task.mapper_name)
    return [*train, *test], [*findings, *overlap_findings(train, test)]


def _source(name: str) -> Source:
    try:
        return from_name(name)
    except KeyError as error:
        raise ValueError(error.args[0]) from error


main = command(parse_args, run)
