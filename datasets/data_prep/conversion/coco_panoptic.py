"""COCO panoptic to the 54 classes of ``coco_2017_{train,val}_panoptic_stuffonly``.

Things have label 0, stuff 1-53. The pixels are those of Detectron2's
datasets/prepare_panoptic_fpn.py, without panopticapi.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vt_seg.data import index_by_stem, read_image
from vt_seg.data.datasets import IGNORE_LABEL
from vt_seg.files import only_folder, require_regular_file

from . import label_maps
from .coco_stuff import Remap
from .conversion import Conversion, Task

FORMATS = ("panoptic", "panoptic-semseg")
_MASKS = frozenset({".png"})
_UNSEEN = 254

Segments = tuple[tuple[int, int], ...]
"""Segment ids and labels of one image."""


def panoptic_conversions(
    root: str | os.PathLike,
    source_format: str = "panoptic",
    splits: Sequence[str] = ("train", "val"),
    source: str | os.PathLike | None = None,
) -> list[Conversion]:
    """Return the conversions into ``root/coco/panoptic_stuff_{split}2017``, one per split.

    Args:
        root: The folder of datasets.
        source_format: "panoptic" for ``panoptic_{split}2017``, with its JSON file next to it or in
            ``annotations``; "panoptic-semseg" for ``panoptic_semseg_{split}2017``.
        splits: Names of the splits.
        source: The folder in or below which the source folders are; ``root/coco`` by default.

    Raises:
        FileNotFoundError: if there is no such folder or JSON file, or PNGs that it names are
            missing.
        ValueError: if there are several such folders, or the JSON file is not COCO panoptic's.
    """
    coco = Path(root) / "coco"
    top = coco if source is None else Path(source)
    make = _from_panoptic if source_format == "panoptic" else _from_semseg
    return [make(top, coco / f"panoptic_stuff_{split}2017", split) for split in splits]


def derive_from_panoptic(task: Task) -> np.ndarray:
    """Return the mask of a panoptic PNG, whose segments are the task's detail."""
    return read_panoptic(task.source, task.detail)


def _from_panoptic(top: Path, output: Path, split: str) -> Conversion:
    folder = _find(top, f"panoptic_{split}2017")
    name = f"panoptic_{split}2017.json"
    annotations = (folder.parent, folder.parent / "annotations", top / "annotations", top)
    places = [place / name for place in annotations]
    json_file = next((path for path in places if path.is_file()), None)
    if json_file is None:
        raise FileNotFoundError(f"there is no {name}; put it into {top / 'annotations'}")
    segments = read_segments(json_file, label_maps.panoptic_labels())
    present = {f"{stem}.png" for stem in index_by_stem(folder, _MASKS)}
    missing = sorted(segments.keys() - present)
    if missing:
        raise FileNotFoundError(
            f"{json_file} names {len(missing)} PNGs that are not in {folder}, e.g. {missing[0]}"
        )
    tasks = [Task(str(folder / name), name, of) for name, of in sorted(segments.items())]
    table = label_maps.panoptic_semseg().digest
    recipe = {"from": "panoptic", "to": "panoptic_stuff", "table": table}
    return Conversion(folder, output, recipe, tasks, derive_from_panoptic)


def _from_semseg(top: Path, output: Path, split: str) -> Conversion:
    folder = _find(top, f"panoptic_semseg_{split}2017")
    label_map = label_maps.panoptic_semseg()
    recipe = {"from": "panoptic-semseg", "to": "panoptic_stuff", "table": label_map.digest}
    stems = index_by_stem(folder, _MASKS)
    tasks = [Task(path, f"{stem}.png") for stem, path in sorted(stems.items())]
    return Conversion(folder, output, recipe, tasks, Remap(label_map))


def _find(top: Path, name: str) -> Path:
    hint = (
        "Unpack the panoptic annotations there (they contain further archives), or name their "
        "folder by --source, or choose other --splits; see datasets/README.md"
    )
    return Path(only_folder(top, name, _MASKS, "masks", hint))


def read_segments(path: str | os.PathLike, labels: dict[int, int]) -> dict[str, Segments]:
    """Return the segments of each image, by the name of its PNG.

    Args:
        path: COCO panoptic's JSON file.
        labels: Label by category id.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a regular file or not COCO panoptic's JSON, has a category without
            label, or names an image twice.
    """
    require_regular_file(path)
    try:
        with open(path, encoding="utf-8") as file:
            annotations = json.load(file)["annotations"]
        segments = {}
        for annotation in annotations:
            name = annotation["file_name"]
            if name in segments:
                raise ValueError(f"{path} names {name} twice")
            segments[name] = tuple((s["id"], s["category_id"]) for s in annotation["segments_info"])
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is truncated or not JSON ({error}); fetch it again") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not COCO panoptic's annotation file ({error})") from error
    unknown = {c: name for name, of in segments.items() for _, c in of if c not in labels}
    if unknown:
        category, name = next(iter(unknown.items()))
        raise ValueError(f"{path}: {name} has category {category}, which COCO panoptic lacks")
    return {name: tuple((i, labels[c]) for i, c in of) for name, of in segments.items()}


def read_panoptic(path: str | os.PathLike, segments: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the label map ``(H, W)`` uint8 of a panoptic PNG; void (id 0) is ignored.

    Raises:
        ValueError: if a segment of the PNG is not among ``segments``.
    """
    ids = segment_ids(read_image(path, "RGB"))
    out = np.full(ids.shape, _UNSEEN, np.uint8)
    out[ids == 0] = IGNORE_LABEL
    for segment, label in segments:
        out[ids == segment] = label
    unseen = out == _UNSEEN
    if unseen.any():
        row, column = np.argwhere(unseen)[0].tolist()
        raise ValueError(
            f"{path} contains segment {ids[row, column]} (row {row}, column {column}), which the "
            "JSON file does not list for it; use the PNGs and the JSON file of one archive"
        )
    return out


def segment_ids(rgb: np.ndarray) -> np.ndarray:
    """Return the segment ids R + 256 G + 65536 B: ``(H, W, 3)`` uint8 to ``(H, W)`` uint32."""
    channels = np.zeros((*rgb.shape[:2], 4), np.uint8)
    channels[..., :3] = rgb
    return channels.view("<u4")[..., 0]
