"""LIP in any layout to one list per split and 8-bit grey masks."""

import os
from collections.abc import Sequence
from pathlib import Path

from vt_seg.data import pair_images_and_masks
from vt_seg.data.datasets import canonical_list, find_lip

from . import label_maps
from .coco_stuff import Remap
from .conversion import Conversion, Task

_HINT = "Unpack LIP's archives again; see datasets/README.md"


def lip_conversions(
    root: str | os.PathLike, splits: Sequence[str] = ("train", "val")
) -> list[Conversion]:
    """Return the conversions of ``root/lip`` to ``{split}_masks`` and ``{split}.txt``.

    They are written into ``root/lip/canonical``. A line of the list is the image, a tab, and the
    mask, both relative to ``root/lip``, in the order of the id list. ``vt_lip_{split}`` then reads
    this list.

    Raises:
        FileNotFoundError: if LIP or a listed file is missing.
        ValueError: if LIP's layout is ambiguous.
    """
    folder = Path(root) / "lip"
    label_map = label_maps.lip()
    conversions = []
    for split in splits:
        found = find_lip(os.fspath(folder), split)
        records = pair_images_and_masks(found.images, found.masks, _HINT, found.ids)
        output = folder / "canonical" / f"{split}_masks"
        tasks, lines = [], []
        for stem, record in zip(found.ids, records, strict=True):
            name = f"{stem}.png"
            tasks.append(Task(record["sem_seg_file_name"], name))
            image = Path(os.path.relpath(record["file_name"], folder)).as_posix()
            lines.append(f"{image}\t{(output / name).relative_to(folder).as_posix()}\n")
        conversions.append(
            Conversion(
                Path(found.masks),
                output,
                {"from": "lip", "to": "lip", "table": label_map.digest},
                tasks,
                Remap(label_map),
                {Path(canonical_list(folder, split)): "".join(lines)},
            )
        )
    return conversions
