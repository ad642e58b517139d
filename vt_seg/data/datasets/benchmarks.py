"""The data sets that papers compare on, as they are distributed: one table of declarations.

Cityscapes is Detectron2's own ``cityscapes_fine_sem_seg_{train,val}``, which gets its colours here.
"""

import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from detectron2.data import MetadataCatalog
from detectron2.data.datasets.builtin_meta import ADE20K_SEM_SEG_CATEGORIES, CITYSCAPES_CATEGORIES

from ..classes import left_right_pairs
from ..label_map import LabelMap, reduced_zero_labels, with_label_map
from ..layouts import pair_images_and_masks, read_split_list
from .lip import LIP_LABELS
from .registration import IGNORE_LABEL, distinct_colors, register_folders


class Split(NamedTuple):
    """Folders and list of a split, below its data set's folder; without a list it is all images."""

    images: str
    masks: str
    listed: str = ""


class Benchmark(NamedTuple):
    """A data set: its folder, its labels, and its splits by name."""

    folder: str
    classes: Sequence[str]
    colors: Sequence[tuple[int, ...]]
    splits: dict[str, Split]
    label_map: LabelMap | None = None


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


def _rgb(text: str) -> list[tuple[int, ...]]:
    return [tuple(bytes.fromhex(color)) for color in text.split()]


VOC_CLASSES = _names("""
    background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, dining table,
    dog, horse, motorbike, person, potted plant, sheep, sofa, train, tv monitor
""")

# In the order of the ids of the 59 frequent categories, which is alphabetical.
CONTEXT_59_CLASSES = _names("""
    aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus,
    cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor,
    flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, person, plate,
    platform, potted plant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, sofa, table,
    track, train, tree, truck, tv monitor, wall, water, window, wood
""")

CAMVID_CLASSES = _names(
    "sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist"
)

ATR_CLASSES = _names("""
    Background, Hat, Hair, Sunglasses, Upper-clothes, Skirt, Pants, Dress, Belt, Left-shoe,
    Right-shoe, Face, Left-leg, Right-leg, Left-arm, Right-arm, Bag, Scarf
""")

_LIP_NAMES, _LIP_COLORS = zip(*LIP_LABELS, strict=True)
_RENAMED_IN_CIHP = {"Upper-clothes": "UpperClothes", "Jumpsuits": "Torso-skin"}
CIHP_CLASSES = tuple(_RENAMED_IN_CIHP.get(name, name) for name in _LIP_NAMES)

ADE20K_CLASSES = tuple(names.split(",")[0].strip() for names in ADE20K_SEM_SEG_CATEGORIES)

ADE20K_COLORS = _rgb("""
    787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d
    787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0
    0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06
    ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00
    ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70
    00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99
    ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52
    000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00
    08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff
    9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00
    00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8
    005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
""")

_CAMVID_COLORS = _rgb("""
    808080 800000 c0c080 804080 3c28de 808000 c08080 404080 400080 404000 0080c0
""")


def _voc(split: str, lists: str, masks: str) -> Split:
    return Split("JPEGImages", masks, f"ImageSets/{lists}/{split}.txt")


BENCHMARKS = {
    "vt_ade20k": Benchmark(
        "ADEChallengeData2016",
        ADE20K_CLASSES,
        ADE20K_COLORS,
        {
            split: Split(f"images/{folder}", f"annotations/{folder}")
            for split, folder in (("train", "training"), ("val", "validation"))
        },
        reduced_zero_labels(150, IGNORE_LABEL),
    ),
    "vt_voc2012": Benchmark(
        "VOC2012",
        VOC_CLASSES,
        distinct_colors(21),
        {
            split: _voc(split, "Segmentation", masks)
            for masks, splits in (
                ("SegmentationClass", ("train", "val", "trainval")),
                ("SegmentationClassAug", ("trainaug",)),
            )
            for split in splits
        },
    ),
    "vt_context59": Benchmark(
        "VOC2010",
        CONTEXT_59_CLASSES,
        ADE20K_COLORS[1:60],
        {
            split: _voc(split, "SegmentationContext", "SegmentationClassContext")
            for split in ("train", "val")
        },
        reduced_zero_labels(59, IGNORE_LABEL),
    ),
    "vt_camvid": Benchmark(
        "CamVid",
        CAMVID_CLASSES,
        _CAMVID_COLORS,
        {split: Split(split, f"{split}annot") for split in ("train", "val", "test")},
        LabelMap(
            "CamVid's 11 classes and void (0-11)",
            {**{label: label for label in range(11)}, 11: IGNORE_LABEL, 255: IGNORE_LABEL},
            "Take the masks of the SegNet tutorial: those of 32 classes are another label space",
        ),
    ),
    "vt_cihp": Benchmark(
        "CIHP",
        CIHP_CLASSES,
        _LIP_COLORS,
        {
            split: Split(f"{folder}/Images", f"{folder}/Category_ids")
            for split, folder in (("train", "Training"), ("val", "Validation"))
        },
    ),
    "vt_atr": Benchmark(
        "ATR",
        ATR_CLASSES,
        distinct_colors(18),
        {
            split: Split("JPEGImages", "SegmentationClassAug", f"list/{split}_id.txt")
            for split in ("train", "val", "test")
        },
    ),
}


def register_benchmarks(root: str) -> None:
    """Register ``vt_<name>_<split>`` of each data set in its folder below ``root``."""
    for name, benchmark in BENCHMARKS.items():
        pairs = left_right_pairs(benchmark.classes)
        for split, parts in benchmark.splits.items():
            folder = os.path.join(root, benchmark.folder)
            images, masks = (os.path.join(folder, part) for part in parts[:2])
            listed = os.path.join(folder, parts.listed) if parts.listed else ""
            load = partial(_load, images, masks, listed, benchmark.label_map)
            register_folders(
                f"{name}_{split}",
                *(images, masks, load, benchmark.classes, benchmark.colors),
                flip_label_pairs=pairs,
                label_map=benchmark.label_map,
            )
    colors = [category["color"] for category in CITYSCAPES_CATEGORIES]
    for split in ("train", "val", "test"):
        metadata = MetadataCatalog.get(f"cityscapes_fine_sem_seg_{split}")
        if metadata.get("stuff_colors") is None:
            metadata.set(stuff_colors=[list(color) for color in colors])


def _load(images: str, masks: str, listed: str, label_map: LabelMap | None) -> list[dict]:
    stems = read_split_list(listed) if listed else None
    hint = "datasets/README.md shows the folders that are expected"
    return with_label_map(pair_images_and_masks(images, masks, hint, stems), label_map)
