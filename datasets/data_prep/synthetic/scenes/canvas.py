"""A canvas of colours and labels on which vt_scenes is painted, back to front."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

Points = Sequence[tuple[float, float]] | np.ndarray
Material = Callable[[np.random.Generator, int, int, float], np.ndarray]


def _bounds(points: Points) -> tuple[int, int, int, int]:
    """Left, top, right, low (the last two exclusive) of a polygon, whole pixels."""
    points = np.asarray(points, np.float64)
    (x0, y0), (x1, y1) = np.floor(points.min(0)), np.ceil(points.max(0)) + 1
    return int(x0), int(y0), int(x1), int(y1)


def _filled(points: Points, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """A polygon's pixels as 1 in a uint8 map of the given box."""
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    corners = np.round((np.asarray(points, np.float64) - (x0, y0)) * 16).astype(np.int32)
    cv2.fillPoly(inside, [corners], 1, shift=4)
    return inside


class Canvas:
    """Colours (H, W, 3) float32 BGR and labels (H, W) uint8, painted together.

    Points are (x, y) in pixels; what lies outside is cut off.
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
        """Fills a polygon with a material or a colour.

        Args:
            label: the label its pixels get; None leaves the labels (windows, shadows, cues).
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
            # Over the whole box, cut afterwards: shading follows the shape, not the frame.
            colors = fill(source, y1 - y0, x1 - x0, self.unit)[window]
        else:
            colors = np.asarray(fill, np.float32)
        if opacity < 1:
            colors = patch + np.float32(opacity) * (colors - patch)
        np.copyto(patch, colors, where=inside[..., None])
        if label is not None:
            self.labels[area][inside] = label

    def coverage(self, points: Points) -> np.ndarray:
        """The canvas's pixels inside a polygon, (H, W) bool."""
        return _filled(points, 0, 0, self.width, self.height).astype(bool)

    def shade(self, points: Points, rng: np.random.Generator, strength: float = 0.45) -> None:
        """A shadow: darkens, keeps the labels."""
        self.paint(points, (25.0, 22.0, 20.0), rng, None, strength)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, count: int = 40) -> Points:
    """Points of an ellipse about (x, y), turned by ``turn`` radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    px, py = rx * np.cos(t), ry * np.sin(t)
    return np.stack(
        [x + px * np.cos(turn) - py * np.sin(turn), y + px * np.sin(turn) + py * np.cos(turn)], 1
    )


def blob(
    rng: np.random.Generator, x: float, y: float, rx: float, ry: float, wobble: float, lobes: int
) -> Points:
    """A closed smooth outline about (x, y): an ellipse whose radius varies by ``wobble``."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(t)
    for k in range(2, lobes + 1):
        radius += wobble / np.sqrt(lobes - 1) * rng.normal() * np.cos(k * t + rng.uniform(0, 6.28))
    # Bounded, so that a blob stays where its centre and radii say.
    radius = np.clip(radius, 0.6, 1.0 + wobble)
    return np.stack([x + rx * radius * np.cos(t), y + ry * radius * np.sin(t)], 1)


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """The four corners of an upright rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)
