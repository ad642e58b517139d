"""The 54 classes of ``coco_2017_{train,val}_panoptic_stuffonly``: things 0, stuff 1-53.

The same pixels as Detectron2's datasets/prepare_panoptic_fpn.py makes, without panopticapi.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vt_seg.files import only_folder
from vt_seg.data import index_by_stem
from . import label_maps
from .coco_stuff import Remap
from .conversion import Conversion, Task
from .panoptic import read_panoptic, read_segments

FORMATS = ("panoptic", "panoptic-semseg")
_MASKS = frozenset({".png"})


def panoptic_conversions(
    root: str | os.PathLike,
    source_format: str = "panoptic",
    splits: Sequence[str] = ("train", "val"),
    source: str | os.PathLike | None = None,
) -> list[Conversion]:
    """Conversions into ``root/coco/panoptic_stuff_{split}2017``, one a split.

    Args:
        source_format: "panoptic": ``panoptic_{split}2017``, and its JSON file beside it or in
            ``annotations``; "panoptic-semseg": ``panoptic_semseg_{split}2017``.
        source: the folder in or below which those are; by default ``root/coco``.

    Raises:
        FileNotFoundError: no such folder, no JSON file, or PNGs that it names are missing.
        ValueError: several folders, or a JSON file that is not COCO panoptic's.
    """
    coco = Path(root) / "coco"
    top = coco if source is None else Path(source)
    make = _from_panoptic if source_format == "panoptic" else _from_semseg
    return [make(top, coco / f"panoptic_stuff_{split}2017", split) for split in splits]


def derive_from_panoptic(task: Task) -> np.ndarray:
    """The rule for a panoptic PNG; the task's detail are its segments."""
    return read_panoptic(task.source, task.detail)


def _from_panoptic(top: Path, output: Path, split: str) -> Conversion:
    folder = _find(top, f"panoptic_{split}2017")
    name = f"panoptic_{split}2017.json"
    annotations = (folder.parent, folder.parent / "annotations", top / "annotations", top)
    places = [place / name for place in annotations]
    json_file = next((path for path in places if path.is_file()), None)
    if json_file is None:
        raise FileNotFoundError(f"no {name}: it belongs in {top / 'annotations'}")
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
    remedy = (
        "Unpack the panoptic annotations there (they hold further archives), give their place by "
        "--source, or other --splits; see datasets/README.md"
    )
    return Path(only_folder(top, name, _MASKS, "masks", remedy))
