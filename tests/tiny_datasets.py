"""Images and masks of blocks: enough for every tool to run on, made in milliseconds."""

from pathlib import Path

import cv2
import numpy as np

from data_prep.synthetic.scenes import SceneSet, write_scenes
from data_prep.synthetic.shapes import ShapeSet, write_shapes


def write_blocks(
    image_folder: Path, mask_folder: Path, names: list[str], labels: list[int], size=(48, 64)
) -> None:
    """Pairs of a JPEG and a PNG: four columns of different labels, drawn in colours that follow."""
    image_folder.mkdir(parents=True, exist_ok=True)
    mask_folder.mkdir(parents=True, exist_ok=True)
    height, width = size
    for number, name in enumerate(names):
        columns = [labels[(number + i) % len(labels)] for i in range(4)]
        mask = np.repeat(np.array(columns, np.uint8), width // 4)[None].repeat(height, axis=0)
        mask[:2] = 255
        image = np.stack([mask * 7, mask * 3 + 40, 255 - mask], axis=-1).astype(np.uint8)
        assert cv2.imwrite(str(image_folder / f"{name}.jpg"), image)
        assert cv2.imwrite(str(mask_folder / f"{name}.png"), mask)


def write_coco(root: Path, mask_folder: str, labels: list[int]) -> None:
    """A COCO of four training and two validation images; masks in ``coco/<mask_folder>``."""
    for split, count in (("train", 4), ("val", 2)):
        write_blocks(
            root / "coco" / f"{split}2017",
            root / "coco" / mask_folder.format(split=split),
            [f"{i:012d}" for i in range(count)],
            labels,
        )


def write_lip(root: Path) -> None:
    """LIP in its flat layout, as portraits."""
    for split, count in (("train", 4), ("val", 2)):
        names = [f"{split}_{i}" for i in range(count)]
        write_blocks(
            root / "lip" / f"{split}_images",
            root / "lip" / f"{split}_segmentations",
            names,
            [0, 13, 14, 15],
            size=(60, 40),
        )
        (root / "lip" / f"{split}_id.txt").write_text("\n".join(names) + "\n")


def write_tiny_scenes(root: Path) -> None:
    """Eight scenes to train on and four to evaluate, 64 x 64."""
    write_scenes(root / "vt_scenes", SceneSet(train=8, val=4, height=64, width=64))


def write_tiny_shapes(root: Path) -> None:
    """Twenty shapes to train on and ten to evaluate, 32 x 32, two and one of each class."""
    write_shapes(root / "vt_shapes", ShapeSet(train=20, val=10, side=32))
