"""A canvas of colours and labels on which scenes are drawn from back to front."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

Points = Sequence[tuple[float, float]] | np.ndarray
Material = Callable[[np.random.Generator, int, int, float], np.ndarray]


def _bounds(points: Points) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom (the last two exclusive) of a polygon in pixels."""
    points = np.asarray(points, np.float64)
    (x0, y0), (x1, y1) = np.floor(points.min(0)), np.ceil(points.max(0)) + 1
    return int(x0), int(y0), int(x1), int(y1)


def _filled(points: Points, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """Return a uint8 map of the given box that is 1 inside a polygon."""
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    corners = np.round((np.asarray(points, np.float64) - (x0, y0)) * 16).astype(np.int32)
    cv2.fillPoly(inside, [corners], 1, shift=4)
    return inside


class Canvas:
    """Colours ``(H, W, 3)`` float32 BGR and labels ``(H, W)`` uint8, drawn together.

    Points are (x, y) in pixels; polygons are clipped to the canvas.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.unit = float(min(height, width))
        self.image = np.zeros((height, width, 3), np.float32)
        self.labels = np.zeros((height, width), np.uint8)

    def paint(
        self,
        points: Points,
        fill: Material | tuple[float, float, float],
        rng: np.random.Generator,
        label: int | None,
        opacity: float = 1.0,
    ) -> None:
        """Fill a polygon with a material or a colour.

        Args:
            points: Corners of the polygon.
            fill: A material, or a BGR colour.
            rng: Generator that seeds the material.
            label: Label of its pixels; None keeps the labels (windows, shadows, cues).
            opacity: Weight of the fill, between 0 and 1.
        """
        source = np.random.default_rng(int(rng.integers(2**62)))
        x0, y0, x1, y1 = _bounds(points)
        left, top, right, low = max(x0, 0), max(y0, 0), min(x1, self.width), min(y1, self.height)
        if left >= right or top >= low:
            return
        window = (slice(top - y0, low - y0), slice(left - x0, right - x0))
        inside = _filled(points, x0, y0, x1, y1)[window].astype(bool)
        area = (slice(top, low), slice(left, right))
        patch = self.image[area]
        if callable(fill):
            # The material covers the whole box and is clipped afterwards, so that shading follows
            # the shape and not the canvas.
            colors = fill(source, y1 - y0, x1 - x0, self.unit)[window]
        else:
            colors = np.asarray(fill, np.float32)
        if opacity < 1:
            colors = patch + np.float32(opacity) * (colors - patch)
        np.copyto(patch, colors, where=inside[..., None])
        if label is not None:
            self.labels[area][inside] = label

    def coverage(self, points: Points) -> np.ndarray:
        """Return the canvas's pixels inside a polygon, ``(H, W)`` bool."""
        return _filled(points, 0, 0, self.width, self.height).astype(bool)

    def shade(self, points: Points, rng: np.random.Generator, strength: float = 0.45) -> None:
        """Darken a polygon as a shadow and keep the labels."""
        self.paint(points, (25.0, 22.0, 20.0), rng, None, strength)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, count: int = 40) -> Points:
    """Return points of an ellipse around (x, y), rotated by ``turn`` radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    px, py = rx * np.cos(t), ry * np.sin(t)
    return np.stack(
        [x + px * np.cos(turn) - py * np.sin(turn), y + px * np.sin(turn) + py * np.cos(turn)], 1
    )


def blob(
    rng: np.random.Generator, x: float, y: float, rx: float, ry: float, wobble: float, lobes: int
) -> Points:
    """Return a smooth closed outline around (x, y): an ellipse whose radius varies."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(t)
    for k in range(2, lobes + 1):
        radius += wobble / np.sqrt(lobes - 1) * rng.normal() * np.cos(k * t + rng.uniform(0, 6.28))
    # The radius is bounded, so that centre and radii bound the blob.
    radius = np.clip(radius, 0.6, 1.0 + wobble)
    return np.stack([x + rx * radius * np.cos(t), y + ry * radius * np.sin(t)], 1)


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Return the four corners of an upright rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)
