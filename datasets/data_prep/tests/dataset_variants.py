"""Writes small datasets that are true to format: every variant of COCO-Stuff, and LIP's layouts.

Variants (letters as the docs use them): A stuffthingmaps, B official stuff pixelmaps, C the 54
classes of Detectron2, D panoptic semseg, E train ids beside the originals, F 171 classes for
Detectron2, G and H COCO-Stuff 10k v1.0 and v1.1. Each function writes images and masks below
``root``, in the folders that users have, and returns what it wrote; the same arguments give the
same pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.image_files import gradient, write_png
from vt_seg.data.datasets import COCO_STUFF_LABELS

REMOVED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
KEPT_IDS = tuple(i for i in range(1, 183) if i not in REMOVED_IDS)
COUNT = 4


@dataclass
class Written:
    """A dataset on disk.

    Attributes:
        images, masks: its folders (masks: of the files to convert or to train on).
        values: stem -> the label values (H, W) as that format stores them.
        split_list: its list of names, where it has one; for panoptic data the JSON file.
    """

    images: Path
    masks: Path
    values: dict[str, np.ndarray]
    split_list: Path | None = None


def label_regions(values: Sequence[int], height: int, width: int, seed: int) -> np.ndarray:
    """A mask (height, width) of rectangles, uint8: no symmetry, and all values where they fit."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.asarray(values, np.uint8))
    mask = np.full((height, width), order[0], np.uint8)
    for value in order:
        top, left = rng.integers(height), rng.integers(width)
        mask[top : top + height // 3, left : left + width // 3] = value
    pixels = rng.permutation(mask.size)[: len(order)]
    mask.flat[pixels] = order[: len(pixels)]
    return mask


def _masks(
    values: Sequence[int], split: str, count: int, prefix: str = "", first: int = 0
) -> dict[str, np.ndarray]:
    """Masks of different sizes by COCO's names; the splits share no name."""
    first += 9 if split == "train" else 500_000
    return {
        f"{prefix}{first + 7 * i:012d}": label_regions(
            values, 24 + 3 * (i % 5), 37 - 2 * (i % 5), first + i
        )
        for i in range(count)
    }


def _write_images(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, mask in masks.items():
        Image.fromarray(gradient(*mask.shape)).save(folder / f"{stem}.jpg", quality=95)
    return folder


def _write_coco(
    root: Path, split: str, folder: str, masks: dict[str, np.ndarray], palette: bool = False
) -> Written:
    images = _write_images(root / "coco" / f"{split}2017", masks)
    for stem, mask in masks.items():
        write_png(root / "coco" / folder / f"{stem}.png", mask, palette=palette)
    return Written(images, root / "coco" / folder, masks)


def write_stuffthingmaps(
    root: Path, split: str = "train", count: int = COUNT, subfolders: bool = False
) -> Written:
    """A: ``coco/stuffthingmaps/{split}2017``, grey, id - 1, 255; optionally in subfolders."""
    masks = _masks([i - 1 for i in KEPT_IDS] + [255], split, count)
    if subfolders:
        masks = {f"part{i % 2}/{stem}": mask for i, (stem, mask) in enumerate(masks.items())}
        for part in {stem.split("/")[0] for stem in masks}:
            (root / "coco" / f"{split}2017" / part).mkdir(parents=True, exist_ok=True)
    return _write_coco(root, split, f"stuffthingmaps/{split}2017", masks)


def write_pixelmaps(root: Path, split: str = "train", count: int = COUNT) -> Written:
    """B: ``coco/annotations/stuff_{split}2017_pixelmaps``, palette, 0, 92-182, 183."""
    masks = _masks([0, *range(92, 184)], split, count)
    return _write_coco(root, split, f"annotations/stuff_{split}2017_pixelmaps", masks, palette=True)


def write_panoptic_stuff(root: Path, split: str = "train", count: int = COUNT) -> Written:
    """C: ``coco/panoptic_stuff_{split}2017``, 0-53, 255."""
    masks = _masks([*range(54), 255], split, count)
    return _write_coco(root, split, f"panoptic_stuff_{split}2017", masks)


def write_panoptic_semseg(root: Path, split: str = "train", count: int = COUNT) -> Written:
    """D: ``coco/panoptic_semseg_{split}2017``, 0-132, 255."""
    masks = _masks([*range(133), 255], split, count)
    return _write_coco(root, split, f"panoptic_semseg_{split}2017", masks)


def write_train_ids(root: Path, split: str = "train", count: int = COUNT) -> Written:
    """E: as A, with ``NAME_labelTrainIds.png`` (0-170, 255) beside it; ``values`` are train ids."""
    original = write_stuffthingmaps(root, split, count)
    to_train_id = np.full(256, 255, np.uint8)
    to_train_id[np.array(KEPT_IDS) - 1] = np.arange(171)
    values = {stem: to_train_id[mask] for stem, mask in original.values.items()}
    for stem, mask in values.items():
        write_png(original.masks / f"{stem}_labelTrainIds.png", mask)
    return Written(original.images, original.masks, values)


def write_detectron2_171(root: Path, split: str = "train", count: int = COUNT) -> Written:
    """F: ``coco/stuffthingmaps_detectron2/{split}2017``, 0-170, 255."""
    masks = _masks([*range(171), 255], split, count)
    return _write_coco(root, split, f"stuffthingmaps_detectron2/{split}2017", masks)


# COCO panoptic: what C and D are made from


def write_panoptic(root: Path, split: str = "train", count: int = COUNT) -> Written:
    """RGB PNG and JSON of COCO panoptic; ``values`` are category ids, 0 for void.

    Each image has two segments of some category, and crowds and void.
    """
    from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

    categories = [{k: c[k] for k in ("id", "name", "isthing")} for c in COCO_CATEGORIES]
    ids = [c["id"] for c in categories]
    images, annotations, values = [], [], {}
    for index, stem in enumerate(_masks([0], split, count)):
        rng = np.random.default_rng(index)
        regions = label_regions(range(40), 24 + 3 * index, 37 - 2 * index, index)
        # Region 0 is void; segment ids need all three bytes.
        segment_ids = np.concatenate([[0], rng.choice(2**24 - 1, 39, replace=False) + 1])
        chosen = rng.choice(ids, 40)
        chosen[:3] = 0, ids[0], ids[0]
        pixels = segment_ids[regions]
        rgb = np.stack([pixels % 256, pixels // 256 % 256, pixels // 65536], 2).astype(np.uint8)
        write_png(root / "coco" / f"panoptic_{split}2017" / f"{stem}.png", rgb)
        values[stem] = chosen[regions].astype(np.uint8)
        height, width = regions.shape
        image_id = int(stem)
        images.append(
            {"id": image_id, "file_name": f"{stem}.jpg", "height": height, "width": width}
        )
        segments = [
            {
                "id": int(segment_ids[i]),
                "category_id": int(chosen[i]),
                "iscrowd": int(i == 2),
                "area": int((regions == i).sum()),
                "bbox": [0, 0, width, height],
            }
            for i in range(1, 40)
        ]
        annotations.append(
            {"image_id": image_id, "file_name": f"{stem}.png", "segments_info": segments}
        )
    path = root / "coco" / "annotations" / f"panoptic_{split}2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    folder = _write_images(root / "coco" / f"{split}2017", values)
    return Written(folder, root / "coco" / f"panoptic_{split}2017", values, path)


# COCO-Stuff 10k


def names_v10() -> list[str]:
    """The 172 names as v1.0 spells them."""
    things = [row.name for row in COCO_STUFF_LABELS if row.is_thing and not row.removed]
    stuff = [row.name.removesuffix("-stuff") for row in COCO_STUFF_LABELS if not row.is_thing]
    return ["unlabeled", *things, *stuff]


def names_v11() -> list[str]:
    """The 182 names as v1.1 spells them."""
    spelled = {
        "eye glasses": "eyeglasses",
        "hair brush": "hairbrush",
        "mirror": "mirror-things",
        "desk": "desk-things",
        "door": "door-things",
    }
    things = [row.name for row in COCO_STUFF_LABELS if row.is_thing]
    return [spelled.get(name, name) for name in things] + names_v10()[81:]


def write_mat_v73(path: Path, mask: np.ndarray, names: Sequence[str]) -> None:
    """MATLAB 7.3: HDF5 behind 512 bytes of MATLAB's own; arrays are transposed, cells are refs."""
    import h5py

    header = (
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Dec 12 2016 HDF5 schema 1.00 ."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        references = file.create_group("#refs#")

        def put(name: str, array: np.ndarray, kind: str, group=file):
            data = group.create_dataset(name, data=np.ascontiguousarray(array.T))
            data.attrs["MATLAB_class"] = np.bytes_(kind)
            return data

        def put_cell(name: str, texts: Sequence[str], shape: tuple[int, int]) -> None:
            pointers = np.empty(len(texts), h5py.ref_dtype)
            for index, text in enumerate(texts):
                codes = np.frombuffer(text.encode("utf-16-le"), np.uint16)[None]
                data = put(f"{name}{index}", codes, "char", references)
                data.attrs["MATLAB_int_decode"] = np.int32(2)
                pointers[index] = data.ref
            cell = file.create_dataset(
                name, data=pointers.reshape(shape[::-1]), dtype=h5py.ref_dtype
            )
            cell.attrs["MATLAB_class"] = np.bytes_("cell")

        put("S", mask, "uint8")
        put("regionMapStuff", np.ones(mask.shape, np.uint16), "uint16")
        put("regionLabelsStuff", np.array([[1.0]]), "double")
        put_cell("names", names, (1, len(names)))
        put_cell("captions", ["A view.", "Another view."], (2, 1))
    with open(path, "r+b") as file:
        file.write(header.ljust(116) + bytes(8) + b"\x00\x02IM")


def write_mat_v5(path: Path, mask: np.ndarray, names: Sequence[str]) -> None:
    """MATLAB 5, compressed, as ``save`` writes by default; the labels are doubles."""
    import scipy.io

    def cell(texts: Sequence[str]) -> np.ndarray:
        array = np.empty((len(texts), 1), object)
        array[:, 0] = texts
        return array

    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "S": mask.astype(np.float64),
        "names": cell(names),
        "captions": cell(["A view.", "Another view."]),
        "regionMapStuff": np.ones(mask.shape, np.uint16),
        "regionLabelsStuff": np.array([[1.0]]),
    }
    scipy.io.savemat(path, content, do_compression=True)


def write_cocostuff10k(root: Path, version: str, train: int = 3, test: int = 2) -> Written:
    """G ("1.0") or H ("1.1"): ``cocostuff10k/{images,annotations,imageLists}``.

    v1.0: 1 unlabelled, 2-172, HDF5; v1.1: 0 unlabelled, 1-182 without the removed ids, MATLAB 5.
    ``values`` are as stored; ``split_list`` is the folder of the lists.
    """
    folder = root / "cocostuff10k"
    values, write, names = {
        "1.0": ([*range(1, 173)], write_mat_v73, names_v10()),
        "1.1": ([0, *KEPT_IDS], write_mat_v5, names_v11()),
    }[version]
    lists = folder / "imageLists"
    lists.mkdir(parents=True, exist_ok=True)
    masks = {}
    for split, count in (("train", train), ("test", test)):
        part = _masks(values, split, count, "COCO_train2014_")
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in part))
        masks.update(part)
    (lists / "all.txt").write_text("".join(f"{stem}\n" for stem in masks))
    for stem, mask in masks.items():
        write(folder / "annotations" / f"{stem}.mat", mask, names)
    images = _write_images(folder / "images", masks)
    return Written(images, folder / "annotations", masks, lists)


# LIP

LIP_LAYOUTS = {
    "flat": ("", "", ""),
    "distributed": ("TrainVal_images", "TrainVal_parsing_annotations", "TrainVal_images"),
    "distributed-nested": (
        "TrainVal_images/TrainVal_images",
        "TrainVal_parsing_annotations/TrainVal_parsing_annotations/TrainVal_parsing_annotations",
        "TrainVal_images/TrainVal_images",
    ),
}
"""Layout -> where its images, masks and id lists are below ``lip/``."""

LIP_IDS = ("77_471474", "10_1", "9_2")


def write_lip(
    root: Path, layout: str = "flat", split: str = "train", palette: bool = False
) -> Written:
    """LIP below ``root/lip``: labels 0-19, id list (CRLF), and the ``*_reversed`` masks."""
    images, masks, lists = (root / "lip" / part for part in LIP_LAYOUTS[layout])
    stems = LIP_IDS if split == "train" else tuple(f"1{stem}" for stem in LIP_IDS)
    values = {stem: label_regions(range(20), 40 + i, 23 + 2 * i, i) for i, stem in enumerate(stems)}
    _write_images(images / f"{split}_images", values)
    for stem, mask in values.items():
        write_png(masks / f"{split}_segmentations" / f"{stem}.png", mask, palette=palette)
        reversed_mask = np.ascontiguousarray(mask[:, ::-1])
        write_png(masks / f"{split}_segmentations_reversed" / f"{stem}.png", reversed_mask)
    lists.mkdir(parents=True, exist_ok=True)
    split_list = lists / f"{split}_id.txt"
    split_list.write_bytes("".join(f"{stem}\r\n" for stem in stems).encode())
    return Written(images / f"{split}_images", masks / f"{split}_segmentations", values, split_list)
