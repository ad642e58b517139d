"""Maps made small enough for a page: averaged, in 255 steps, compressed."""

import base64
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from .colors import color_range, color_steps
from .study import LevelMaps

# Longest side of the maps, averaged over the heads and per head: the first pair that fits is taken.
# 0 leaves single heads out.
_SIDES = ((200, 64), (200, 48), (200, 32), (200, 20), (160, 0), (120, 0), (80, 0), (50, 0), (32, 0))


class MapPack:
    """A growing block of bytes, and where in it each array begins."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._length = 0

    def add(self, array: np.ndarray) -> int:
        """Append an array of bytes or (little-endian) 16-bit numbers; returns its offset."""
        offset = self._length
        kind = "<u2" if array.dtype.itemsize == 2 else "u1"
        self._chunks.append(np.ascontiguousarray(array).astype(kind).tobytes())
        self._length += len(self._chunks[-1])
        return offset

    def add_maps(self, maps: np.ndarray, longest_side: int, *, as_shares: bool) -> dict:
        """Append maps ``(K, h, w)``, each in 255 steps of its own :func:`color_range`.

        Args:
            maps: non-negative values.
            longest_side: larger maps are averaged down to it.
            as_shares: see :func:`color_range`.

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
        """All of it as base64 of a zlib stream, for the browser's ``DecompressionStream``."""
        return base64.b64encode(zlib.compress(b"".join(self._chunks), 9))


def shrink(maps: np.ndarray, longest_side: int) -> np.ndarray:
    """Maps ``(K, h, w)`` averaged over areas so that no side is longer; smaller ones stay."""
    height, width = maps.shape[-2:]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return maps
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in maps])


def pack_layers(
    layers: Sequence[Sequence[LevelMaps]], labels: np.ndarray | None, max_bytes: int
) -> tuple[bytes, list[list[dict]], dict | None]:
    """Pack everything that a page looks up, as finely as ``max_bytes`` allow.

    Args:
        layers: the levels of each layer.
        labels: class indices ``(H, W)`` of the prediction, or None.
        max_bytes: of the result.

    Returns:
        The bytes; for each layer and level ``attention`` and ``reads``, each with ``mean`` (over
        the heads) and ``heads`` (one entry per head, or None) as of :meth:`MapPack.add_maps`; where
        the labels are (``at``, ``size``), or None.

    Raises:
        ValueError: even the coarsest maps do not fit.
    """
    for sides in _SIDES:
        pack = MapPack()
        described = [
            [
                {
                    "attention": _add_heads(pack, one.attention, sides, as_shares=False),
                    "reads": None
                    if one.reads is None
                    else _add_heads(pack, one.reads, sides, as_shares=True),
                }
                for one in levels
            ]
            for levels in layers
        ]
        where = None if labels is None else _add_labels(pack, labels)
        packed = pack.compressed()
        if len(packed) <= max_bytes:
            return packed, described, where
    raise ValueError(f"{len(layers)} VT layers do not fit into a page of {max_bytes} bytes of maps")


def _add_heads(pack: MapPack, maps: np.ndarray, sides: tuple[int, int], *, as_shares: bool) -> dict:
    side, head_side = sides
    single = None
    if len(maps) > 1 and head_side:
        single = [pack.add_maps(head, head_side, as_shares=as_shares) for head in maps]
    return {"mean": pack.add_maps(maps.mean(0), side, as_shares=as_shares), "heads": single}


def _add_labels(pack: MapPack, labels: np.ndarray, longest_side: int = 400) -> dict:
    scale = min(1.0, longest_side / max(labels.shape))
    size = [max(1, round(side * scale)) for side in labels.shape]
    small = cv2.resize(labels.astype(np.uint16), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return {"at": pack.add(small), "size": size}
