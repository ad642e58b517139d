"""COCO-Stuff: its label spaces, ``vt_coco_2017_{train,val}_stuff{171,91,92}``, and the 10k images.

The latter are ``vt_cocostuff10k_{train,test}``, with the 171 classes. The pixels of the distributed
"stuffthingmaps" are ``id - 1`` of 182 ids, eleven of which were never annotated. Label spaces:

- **171**: the ids that remain, numbered in ascending order (80 things, 91 stuff).
- **91**: stuff only, ``id - 92``; things are ignored. **92**: as 91, and all things together.

The 54 classes that are, by their mIoU, behind the paper's figures are Detectron2's own
``coco_2017_{train,val}_panoptic_stuffonly``.
"""

import os
from functools import partial
from typing import NamedTuple

from ..layouts import pair_images_and_masks, read_split_list
from .registration import distinct_colors, register_folders, register_pairs


class CocoStuffLabel(NamedTuple):
    """One of the 182 ids: things up to 91, stuff from 92. Removed ones were never annotated.

    ``index171`` is its label among the 171 classes, None if removed; ``index91`` that among the 91
    stuff classes, None for things.
    """

    id: int
    name: str
    removed: bool
    index171: int | None
    index91: int | None

    @property
    def png_value(self) -> int:
        """Its value in the distributed stuffthingmaps."""
        return self.id - 1

    @property
    def is_thing(self) -> bool:
        """True for things, False for stuff."""
        return self.id < FIRST_STUFF_ID


FIRST_STUFF_ID = 92
REMOVED_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})

# In the order of their ids, 1-91.
_THINGS = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire
    hydrant, street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow,
    elephant, bear, zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie,
    suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove,
    skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon,
    bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
    chair, couch, potted plant, bed, mirror, dining table, window, desk, toilet, door, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator,
    blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush
"""
# 92-182.
_STUFF = """
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
    ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain,
    desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile,
    floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, ground-other,
    hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net,
    paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad,
    river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow,
    solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel,
    tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile,
    wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""


def _label_table() -> tuple[CocoStuffLabel, ...]:
    names = [" ".join(name.split()) for name in f"{_THINGS},{_STUFF}".split(",")]
    rows, kept = [], 0
    for label, name in enumerate(names, start=1):
        removed = label in REMOVED_IDS
        stuff = label - FIRST_STUFF_ID if label >= FIRST_STUFF_ID else None
        rows.append(CocoStuffLabel(label, name, removed, None if removed else kept, stuff))
        kept += not removed
    return tuple(rows)


COCO_STUFF_LABELS = _label_table()
COCO_STUFF_171_CLASSES = tuple(row.name for row in COCO_STUFF_LABELS if not row.removed)
COCO_STUFF_91_CLASSES = tuple(row.name for row in COCO_STUFF_LABELS if not row.is_thing)
COCOSTUFF10K_SPLITS = ("train", "test")

# Variant: its folder of masks below coco/, its classes, and its colours. Stuff has the same colour
# in all variants.
_COLORS = distinct_colors(171)
_FOLDER = "stuffthingmaps_detectron2"
_VARIANTS = {
    "stuff171": (_FOLDER, COCO_STUFF_171_CLASSES, _COLORS),
    "stuff91": (f"{_FOLDER}_stuff91", COCO_STUFF_91_CLASSES, _COLORS[-91:]),
    "stuff92": (
        f"{_FOLDER}_stuff92",
        (*COCO_STUFF_91_CLASSES, "things"),
        [*_COLORS[-91:], _COLORS[0]],
    ),
}


def mask_folder(coco: str | os.PathLike, variant: str, split: str) -> str:
    """Return the folder of a variant's masks ("stuff171") below the folder ``coco``."""
    return os.path.join(coco, _VARIANTS[variant][0], f"{split}2017")


def register_coco_stuff(root: str) -> None:
    """Register all variants in ``<root>/coco``."""
    coco = os.path.join(root, "coco")
    for variant, (_, classes, colors) in _VARIANTS.items():
        for split in ("train", "val"):
            images, masks = os.path.join(coco, f"{split}2017"), mask_folder(coco, variant, split)
            hint = (
                f"Images belong in {images}, masks with values 0..{len(classes) - 1} and 255 in "
                f"{masks}: python datasets/prepare_coco_stuff.py, see datasets/README.md"
            )
            name = f"vt_coco_2017_{split}_{variant}"
            register_pairs(name, images, masks, hint, classes, colors)


class CocoStuff10kFolders(NamedTuple):
    """Folders below ``<root>/cocostuff10k``: as distributed, and the masks made from them."""

    images: str
    annotations: str
    lists: str
    masks: str


def cocostuff10k_folders(root: str | os.PathLike) -> CocoStuff10kFolders:
    """Return where the files are, or belong."""
    names = ("images", "annotations", "imageLists", "stuff171")
    return CocoStuff10kFolders(*(os.path.join(root, "cocostuff10k", name) for name in names))


def read_cocostuff10k_split(root: str | os.PathLike, split: str) -> list[str]:
    """Return the names of a split, or raise as `read_split_list` does."""
    return read_split_list(os.path.join(cocostuff10k_folders(root).lists, f"{split}.txt"))


def register_cocostuff10k(root: str) -> None:
    """Register both splits in ``<root>/cocostuff10k``."""
    folders = cocostuff10k_folders(root)
    for split in COCOSTUFF10K_SPLITS:
        name, load = f"vt_cocostuff10k_{split}", partial(_load_cocostuff10k, root, split)
        register_folders(name, folders.images, folders.masks, load, COCO_STUFF_171_CLASSES, _COLORS)


def _load_cocostuff10k(root: str, split: str) -> list[dict]:
    folders = cocostuff10k_folders(root)
    hint = (
        f"Unpack COCO-Stuff 10k in {os.path.dirname(folders.images)} and run: "
        f"python datasets/prepare_cocostuff10k.py --root {root}"
    )
    stems = read_cocostuff10k_split(root, split)
    return pair_images_and_masks(folders.images, folders.masks, hint, stems)
