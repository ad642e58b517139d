"""Regions of annotation tools as run-length encodings, and label maps painted from them.

All of them follow pycocotools: x and y are measured from the image's top left corner, pixel i
reaches from i to i + 1, and a pixel belongs to a shape if its centre lies inside.
"""

import base64
import binascii
import io
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as rle_masks
from PIL import Image

from .json_files import numbers, shorten

Rle = dict[str, Any]
"""A validated run-length encoding of pycocotools: ``size`` (H, W) and compressed ``counts``."""

Size = tuple[int, int]
"""Height and width."""

OVERLAPS = ("area", "order")
_MAX_BITMAP_BYTES = 1 << 26
_MAX_BITMAP_PIXELS = 1 << 27


def polygons(rings: Sequence[Any], size: Size, where: str) -> Rle:
    """Return the union of polygons, each ``x, y, x, y, ...``.

    Raises:
        ValueError: if a polygon has fewer than three points, or reaches further out of the image
            than the image is large.
    """
    height, width = size
    for ring in rings:
        numbers(ring, where)
        if len(ring) < 6 or len(ring) % 2:
            raise ValueError(
                f"{where} has a polygon of {len(ring)} numbers; it takes three points x, y at "
                "least: draw it again or delete it"
            )
        for values, limit in ((ring[::2], width), (ring[1::2], height)):
            if min(values) < -limit or max(values) > 2 * limit:
                outside = min(values) if min(values) < -limit else max(values)
                raise ValueError(
                    f"{where} has the coordinate {outside:g}, far outside of the image of "
                    f"{width}x{height} pixels: was it drawn on another image or size?"
                )
    # Whole numbers of any size become floats here: pycocotools takes no others.
    encoded = rle_masks.frPyObjects([[float(v) for v in ring] for ring in rings], height, width)
    return rle_masks.merge(encoded)


def with_holes(outer: Rle, holes: Rle) -> Rle:
    """Return ``outer`` without ``holes``."""
    return encode(rle_masks.decode(outer) & ~rle_masks.decode(holes) & 1)


def rectangle(corners: Sequence[float], size: Size, where: str) -> Rle:
    """Return the rectangle between two opposite corners ``x, y, x, y``."""
    if len(corners) != 4:
        raise ValueError(f"{where} is a rectangle of {len(corners) / 2:g} points, not of 2 corners")
    x0, y0, x1, y1 = corners
    return polygons([[x0, y0, x1, y0, x1, y1, x0, y1]], size, where)


def circle(center_and_rim: Sequence[float], size: Size, where: str) -> Rle:
    """Return the disc of a centre and a point on its rim, ``x, y, x, y``."""
    if len(center_and_rim) != 4:
        count = len(center_and_rim) / 2
        raise ValueError(f"{where} is a circle of {count:g} points, not of centre and rim")
    x, y, rim_x, rim_y = center_and_rim
    ys, xs = np.mgrid[: size[0], : size[1]]
    squared = (xs + 0.5 - x) ** 2 + (ys + 0.5 - y) ** 2
    return encode(squared <= (rim_x - x) ** 2 + (rim_y - y) ** 2)


def run_lengths(segmentation: dict[str, Any], size: Size, where: str) -> Rle:
    """Return a run-length encoding of COCO after checking it, compressed or not.

    pycocotools shows whatever is in memory where run lengths do not fill the image.

    Raises:
        ValueError: if its size is not the image's, or its runs do not fill it.
    """
    height, width = size
    if segmentation.get("size") != [height, width]:
        raise ValueError(
            f"{where} has a run-length encoding of size {shorten(segmentation.get('size'))}, but "
            f"the image has {height} rows and {width} columns: [{height}, {width}]"
        )
    counts = segmentation.get("counts")
    runs = _decompress(counts, where) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or any(type(run) is not int or run < 0 for run in runs):
        raise ValueError(f"{where} has the run lengths {shorten(counts)}, which are damaged")
    if sum(runs) != height * width:
        raise ValueError(
            f"{where} has run lengths of {sum(runs)} pixels, but the image has {height * width}: "
            "export it again"
        )
    uncompressed = {"size": [height, width], "counts": runs}
    return rle_masks.frPyObjects(uncompressed, height, width)


def bitmap(mask: np.ndarray, x: int, y: int, size: Size, where: str) -> Rle:
    """Return a mask ``(h, w)`` whose top left pixel is column ``x``, row ``y`` of the image."""
    height, width = mask.shape
    if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        raise ValueError(
            f"{where} has a mask of {width}x{height} pixels at column {x}, row {y}, which leaves "
            f"the image of {size[1]}x{size[0]}: was it drawn on another image or size?"
        )
    whole = np.zeros(size, bool)
    whole[y : y + height, x : x + width] = mask
    return encode(whole)


def decode_bitmap(text: str, is_deflated: bool, where: str) -> np.ndarray:
    """Return the mask ``(h, w)`` bool of a picture in base64: opaque pixels, or those not 0.

    Args:
        text: Base64 of the picture.
        is_deflated: Whether the picture was compressed by zlib, as Supervisely does.
        where: What the message begins with.

    Raises:
        ValueError: if it cannot be decoded or is unreasonably large.
    """
    try:
        content = base64.b64decode(text, validate=True)
        if is_deflated:
            content = zlib.decompressobj().decompress(content, _MAX_BITMAP_BYTES)
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > _MAX_BITMAP_PIXELS:
                raise ValueError(f"it has {image.width}x{image.height} pixels")
            if image.mode in ("RGBA", "LA") or "transparency" in image.info:
                return np.asarray(image.convert("RGBA"))[..., 3] > 0
            if image.mode in ("1", "L", "P"):
                return np.asarray(image) != 0
            raise ValueError(f"its mode is {image.mode}")
    except (
        binascii.Error, zlib.error, OSError, SyntaxError, ValueError, Image.DecompressionBombError
    ) as error:  # fmt: skip
        raise ValueError(f"{where} has a mask that cannot be decoded ({error})") from error


def encode(mask: np.ndarray) -> Rle:
    """Return the encoding of a mask ``(H, W)``."""
    return rle_masks.encode(np.asfortranarray(mask, dtype=np.uint8))


def paint(
    regions: Sequence[tuple[int, Rle]], size: Size, background: int, overlap: str = "order"
) -> np.ndarray:
    """Return the label map ``(H, W)`` uint8 of labels and regions.

    Args:
        regions: Label and region, in the order of the file.
        size: Height and width.
        background: Label of the pixels that no region covers.
        overlap: Who gets the pixels that several regions cover: the smallest of them ("area";
            among equals the later), or the last ("order").
    """
    if overlap == "area":
        regions = sorted(regions, key=lambda region: -int(rle_masks.area(region[1])))
    label_map = np.full(size, background, np.uint8)
    for label, region in regions:
        label_map[rle_masks.decode(region) > 0] = label
    return label_map


def _decompress(text: str, where: str) -> list[int]:
    """Return the run lengths of COCO's compressed text.

    Each number has six bits a character: five of the value, lowest first, and one that says whether
    more follow. From the fourth on, they are differences to the number before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"{where} has run lengths with {character!r}, which are damaged")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError(f"{where} has run lengths that are cut off; export it again")
    return runs
