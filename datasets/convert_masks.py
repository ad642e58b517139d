#!/usr/bin/env python
"""Convert what annotation tools export to masks that DATASETS.CUSTOM reads.

Masks, classes.txt and, where needed, images.txt are written to the folder --output, and the entry
of DATASETS.CUSTOM is printed. A run that was stopped continues where it stopped.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from data_prep import exports
from data_prep.conversion import Conversion
from data_prep.conversion.command_line import add_run_arguments, run_conversions
from data_prep.exports.annotations import MISSING_IMAGES, OTHER_SHAPES
from data_prep.exports.class_labels import OTHER_CLASSES
from data_prep.exports.coco_instances import CROWDS
from data_prep.exports.regions import OVERLAPS

_RUN = ("command", "make", "workers", "check")


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, make, help: str) -> argparse.ArgumentParser:
        add = commands.add_parser(
            name,
            help=help,
            description=f"Convert {help}.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        add.set_defaults(make=make)
        return add

    colors = command("colors", exports.color_export, "masks of colours, by a table of colours")
    colors.add_argument("masks", help="folder of masks")
    colors.add_argument(
        "--colors",
        required=True,
        help="CVAT's labelmap.txt, a CSV with the header name,r,g,b, Roboflow's _classes.csv, or "
        "'voc' for Pascal VOC's palette",
    )
    colors.add_argument("--mask-suffix", default="", help="_mask if the masks are a_mask.png")
    colors.add_argument(
        "--ignore", dest="ignored", nargs="+", default=[], help="classes that become ignored pixels"
    )
    colors.add_argument(
        "--tolerance", type=int, default=0, help="how much each channel may differ, for JPEG"
    )
    colors.add_argument("--transparent", help="class of transparent pixels, or 'ignore'")

    coco = command("coco", exports.coco_export, "a COCO JSON of polygons and run lengths")
    coco.add_argument("annotations", help="JSON file")
    coco.add_argument(
        "--overlap",
        choices=OVERLAPS,
        default="area",
        help="who gets pixels of several objects: the smallest, or the last in the file",
    )
    coco.add_argument(
        "--crowd", choices=CROWDS, default="class", help="whether crowds are of their class"
    )

    labelme = command("labelme", exports.labelme_export, "a folder of LabelMe's JSON files")
    labelme.add_argument("folder", help="folder of JSON files")

    voc = command("voc", exports.voc_export, "a Pascal VOC folder with SegmentationClass")
    voc.add_argument("root", help="folder of SegmentationClass, or one above it")
    voc.add_argument("--split", help="list of ImageSets/Segmentation; None: all masks")
    voc.add_argument(
        "--colors", help="as of 'colors'; None: labelmap.txt if there is one, or VOC's"
    )

    ade20k = command("ade20k", exports.ade20k_export, "the full ADE20K (NAME_seg.png)")
    ade20k.add_argument("root", help="folder of images and NAME_seg.png")
    ade20k.add_argument("--index", help="index_ade20k.mat or a CSV; None: the JSON of each image")

    supervisely = command("supervisely", exports.supervisely_export, "a Supervisely project")
    supervisely.add_argument("project", help="folder of meta.json")
    supervisely.add_argument("--datasets", nargs="+", help="datasets of the project; None: all")

    datumaro = command("datumaro", exports.datumaro_export, "a JSON in Datumaro's own format")
    datumaro.add_argument("annotations", help="JSON file")

    for add in (colors, coco, datumaro):
        add.add_argument("--images", required=True, help="folder of images")
    labelme.add_argument("--images", help="folder of images; None: beside the JSON files")
    voc.add_argument("--images", help="folder of images; None: JPEGImages")
    for add in (coco, labelme, supervisely, datumaro, ade20k):
        add.add_argument("--classes", help="file of the wanted classes; None: those of the export")
        add.add_argument(
            "--background",
            default="ignore" if add is ade20k else "background",
            help="class of pixels that nothing covers, or 'ignore'",
        )
        add.add_argument(
            "--other-classes",
            choices=OTHER_CLASSES,
            default="error",
            help="what classes are that --classes lacks",
        )
    for add in (coco, labelme, supervisely, datumaro):
        add.add_argument(
            "--other-shapes",
            choices=OTHER_SHAPES,
            default="error",
            help="what to do with boxes, lines and points, which have no mask",
        )
        add.add_argument(
            "--missing-images",
            choices=MISSING_IMAGES,
            default="error",
            help="what to do with annotations of images that are not there",
        )
    for add in commands.choices.values():
        add.add_argument("--output", required=True, help="folder to write")
        add_run_arguments(add)
    return parser.parse_args()


def main() -> int:
    """Run the conversion, print the dataset's entry, and return the exit code."""
    args = parse_args()
    options = {key: value for key, value in vars(args).items() if key not in _RUN}
    made: list[exports.Export] = []

    def conversions() -> list[Conversion]:
        made.append(args.make(**options))
        return [made[0].conversion]

    code = run_conversions(conversions, args)
    for export in made:
        print(*export.notes, sep="\n", end="\n" if export.notes else "")
        if code == 0 and not args.check:
            print(f"\n{len(export.labels.names)} classes. Add to the config:\n\n{export.yaml()}")
    return code


if __name__ == "__main__":
    sys.exit(main())
