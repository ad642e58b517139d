"""Outlines of the classes of vt_shapes: closed polygons around the origin, of equal area."""

from collections.abc import Callable

import numpy as np

_ARC = 40  # Number of points of a full circle.


def outline(name: str) -> np.ndarray:
    """Return the outline of a class, ``(points, 2)`` float64, x to the right and y down, of area 1.

    All areas are equal, so that the covered share of the image does not reveal the class. A ring is
    one polygon, too: a cut without width joins its inner and outer circle for even-odd filling.

    Raises:
        KeyError: if there is no class of this name.
    """
    points = _OUTLINES[name]()
    (x, y), (next_x, next_y) = points.T, np.roll(points, -1, axis=0).T
    return points / np.sqrt(abs(np.sum(x * next_y - next_x * y)) / 2)


def _circle(radius: float = 1.0, start: float = 0.0, end: float = 2 * np.pi) -> np.ndarray:
    t = np.linspace(start, end, _ARC)
    return radius * np.stack([np.cos(t), np.sin(t)], 1)


def _polygon(corners: int, inner: float = 1.0) -> np.ndarray:
    """Return a regular polygon, or a star whose odd corners lie at ``inner`` of the radius."""
    t = np.arange(corners) * 2 * np.pi / corners - np.pi / 2
    radius = np.where(np.arange(corners) % 2, inner, 1.0)
    return radius[:, None] * np.stack([np.cos(t), np.sin(t)], 1)


def _arrow() -> np.ndarray:
    half = [(0, -1), (0.75, -0.15), (0.28, -0.15), (0.28, 0.9)]
    return np.array([*half, *((-x, y) for x, y in half[:0:-1])])


def _crescent() -> np.ndarray:
    # The unit disc without a disc to its right whose border crosses its own at x = 0.55.
    tip, offset = np.arccos(0.55), 0.65
    outer = _circle(1.0, tip, 2 * np.pi - tip)
    corner = outer[0] - (offset, 0.0)
    angle = np.arctan2(corner[1], corner[0])
    inner = _circle(float(np.linalg.norm(corner)), angle, 2 * np.pi - angle)
    inner += np.array((offset, 0.0))
    return np.concatenate([outer, inner[::-1]]) + np.array((0.3, 0.0))


def _cross() -> np.ndarray:
    a = 0.33
    quarter = np.array([(a, -1), (a, -a), (1, -a)])
    turn = np.array([(0, 1), (-1, 0)])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def _drop() -> np.ndarray:
    # A tip and the arc of a disc between the tangents from the tip.
    touch = np.arcsin(0.5)
    drop = np.concatenate([_circle(0.6, -touch, np.pi + touch), [(0.0, -1.2)]])
    return drop + np.array((0, 0.25))


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, _ARC, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2], 1)


def _ring() -> np.ndarray:
    return np.concatenate([_circle(), _circle(0.55)[::-1]])


_OUTLINES: dict[str, Callable[[], np.ndarray]] = {
    "arrow": _arrow,
    "crescent": _crescent,
    "cross": _cross,
    "disc": _circle,
    "drop": _drop,
    "heart": _heart,
    "ring": _ring,
    "square": lambda: np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),
    "star": lambda: _polygon(10, 0.45),
    "triangle": lambda: _polygon(3),
}
