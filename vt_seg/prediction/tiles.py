"""Overlapping tiles of a large image, and the part of each that its prediction is used for."""

from itertools import pairwise
from typing import NamedTuple


class Tile(NamedTuple):
    """Rows and columns of a tile, and those within it that no other tile predicts better."""

    rows: slice
    columns: slice
    inner_rows: slice
    inner_columns: slice


def make_tiles(height: int, width: int, side: int, overlap: int) -> list[Tile]:
    """Cover an image with square tiles, of which neighbours overlap by at least ``overlap`` pixels.

    A pixel belongs to the tile whose border is further away: each overlap is cut in its middle.
    Tiles are evenly spread, and as long as the image where it is shorter than ``side``.
    """
    vertical = _intervals(height, side, overlap)
    horizontal = _intervals(width, side, overlap)
    return [
        Tile(rows, columns, inner_rows, inner_columns)
        for rows, inner_rows in vertical
        for columns, inner_columns in horizontal
    ]


def _intervals(length: int, side: int, overlap: int) -> list[tuple[slice, slice]]:
    if length <= side:
        return [(slice(0, length), slice(0, length))]
    count = -(-(length - overlap) // (side - overlap))
    starts = [index * (length - side) // (count - 1) for index in range(count)]
    cuts = [(a + side + b) // 2 for a, b in pairwise(starts)]
    inner = zip([0, *cuts], [*cuts, length], strict=True)
    return [
        (slice(start, start + side), slice(*ends))
        for start, ends in zip(starts, inner, strict=True)
    ]
