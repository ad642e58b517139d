"""COCO panoptic: segment ids in the colours of a PNG, their categories in a JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np

from vt_seg.data.datasets.registration import IGNORE_LABEL
from vt_seg.data.readers import read_image
from vt_seg.files import require_regular_file

Segments = tuple[tuple[int, int], ...]
"""(segment id, label) of one image."""

_UNSEEN = 254


def read_segments(path: str | os.PathLike, labels: dict[int, int]) -> dict[str, Segments]:
    """The segments of each image's PNG, by the PNG's name.

    Args:
        labels: category id -> label.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a regular file, not COCO panoptic's JSON, a category without label, or an
            image named twice.
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
        raise ValueError(f"{path}: {name} has category {category}, which COCO panoptic has not")
    return {name: tuple((i, labels[c]) for i, c in of) for name, of in segments.items()}


def read_panoptic(path: str | os.PathLike, segments: Sequence[tuple[int, int]]) -> np.ndarray:
    """The labels (H, W) uint8 of a panoptic PNG; void (id 0) is ignored.

    Raises:
        ValueError: a segment of the PNG is not among ``segments``; names the file and the id.
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
            f"{path} holds segment {ids[row, column]} (row {row}, column {column}), which the JSON "
            "file does not list for it: do the PNG and the JSON belong together?"
        )
    return out


def segment_ids(rgb: np.ndarray) -> np.ndarray:
    """id = R + 256 G + 65536 B: (H, W, 3) uint8 -> (H, W) uint32."""
    channels = np.zeros((*rgb.shape[:2], 4), np.uint8)
    channels[..., :3] = rgb
    return channels.view("<u4")[..., 0]
