"""Pack maps for a page: averaged to its resolution, in 255 steps, compressed."""

import base64
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from .analysis import LevelMaps
from .colors import color_range, color_steps

# Longest side of the maps averaged over heads, and of those of single heads. The first pair that
# fits is taken; 0 leaves single heads out.
_SIDES = ((200, 64), (200, 48), (200, 32), (200, 20), (160, 0), (120, 0), (80, 0), (50, 0), (32, 0))
_LABEL_SIDE = 400


class MapPack:
    """A growing block of bytes that holds arrays at known offsets."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, array: np.ndarray) -> int:
        """Append an array of 8-bit or (little-endian) 16-bit numbers; return its offset."""
        offset = len(self._bytes)
        dtype = "<u2" if array.dtype.itemsize == 2 else "u1"
        self._bytes += np.ascontiguousarray(array).astype(dtype).tobytes()
        return offset

    def add_maps(self, maps: np.ndarray, longest_side: int, *, as_shares: bool) -> dict:
        """Append maps ``(K, h, w)``, shrunk, each in 255 steps of its own `color_range`.

        Returns:
            ``at`` (offset), ``size`` [K, rows, columns], ``low`` and ``high`` (K numbers each):
            value = low + byte / 255 * (high - low).
        """
        small = shrink(maps, longest_side)
        ranges = [color_range(one, as_shares=as_shares) for one in small]
        steps = np.stack([color_steps(*pair) for pair in zip(small, ranges, strict=True)])
        low, high = ([float(f"{x:.6g}") for x in ends] for ends in zip(*ranges, strict=True))
        return {"at": self.add(steps), "size": list(small.shape), "low": low, "high": high}

    def compressed(self) -> bytes:
        """Return all as base64 of a zlib stream, for the browser's ``DecompressionStream``."""
        return base64.b64encode(zlib.compress(self._bytes, 9))


def shrink(maps: np.ndarray, longest_side: int) -> np.ndarray:
    """Average maps ``(K, h, w)`` over areas so that no side is longer; smaller ones stay."""
    height, width = maps.shape[-2:]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return maps
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in maps])


def pack_layers(
    layers: Sequence[Sequence[LevelMaps]], labels: np.ndarray | None, max_bytes: int
) -> tuple[bytes, list[list[dict]], dict | None]:
    """Pack the maps and the label map of a page, as finely as ``max_bytes`` allow.

    Returns:
        The bytes; for each layer and level ``attention`` and ``reads`` (or None), each with
        ``mean`` (over the heads) and ``heads`` (one entry per head, or None) as of
        `MapPack.add_maps`; the place of the labels (``at``, ``size``), or None.

    Raises:
        ValueError: If even the coarsest maps do not fit.
    """
    for sides in _SIDES:
        pack = MapPack()
        places = [
            [
                {
                    "attention": _add_heads(pack, one.attention, sides, as_shares=False),
                    "reads": _add_heads(pack, one.reads, sides, as_shares=True),
                }
                for one in levels
            ]
            for levels in layers
        ]
        label_place = None
        if labels is not None:
            scale = min(1.0, _LABEL_SIDE / max(labels.shape))
            size = [max(1, round(side * scale)) for side in labels.shape]
            numbers = labels.astype(np.uint16)
            small = cv2.resize(numbers, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            label_place = {"at": pack.add(small), "size": size}
        packed = pack.compressed()
        if len(packed) <= max_bytes:
            return packed, places, label_place
    raise ValueError(f"{len(layers)} VT layers do not fit into a page of {max_bytes} bytes of maps")


def _add_heads(
    pack: MapPack, maps: np.ndarray | None, sides: tuple[int, int], *, as_shares: bool
) -> dict | None:
    if maps is None:
        return None
    side, head_side = sides
    heads = None
    if len(maps) > 1 and head_side:
        heads = [pack.add_maps(head, head_side, as_shares=as_shares) for head in maps]
    return {"mean": pack.add_maps(maps.mean(0), side, as_shares=as_shares), "heads": heads}
