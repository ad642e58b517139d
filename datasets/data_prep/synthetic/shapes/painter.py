"""Paints one image of vt_shapes: a textured shape on a darker textured ground, among clutter.

The class decides the outline and nothing else: colours, textures, place, size, turn and stretch
come from a random stream that has drawn them before the outline is looked up.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vt_seg.data.datasets import SHAPE_NAMES

from ..scenes import textures
from ..scenes.canvas import Canvas, Material, blob, box
from .outlines import outline

PAINTER_VERSION = 1
"""Raised whenever the same (seed, index) would paint other pixels."""

MIN_SIDE = 32
_SUPERSAMPLE = 2
_LEAST_CONTRAST = 55.0  # by which a shape is brighter than the ground, on average
_AREA = (0.10, 0.19)  # share of the image that a shape covers
_LARGEST_TURN = np.radians(20)
_MOST_CLUTTER, _MOST_STROKES_IN_FRONT = 4, 1


def shape_of(index: int) -> str:
    """The class of image ``index``: they take turns, so that all are equally frequent."""
    return SHAPE_NAMES[index % len(SHAPE_NAMES)]


def paint_shape(seed: int, index: int, side: int, name: str | None = None) -> np.ndarray:
    """Image ``index``, ``(side, side, 3)`` uint8 BGR.

    The same arguments give the same pixels, whatever was painted before.

    Args:
        name: another class than `shape_of` (index) in the same picture.

    Raises:
        KeyError: no class of this name.
        ValueError: a side under 32 pixels, or a negative seed or index.
    """
    if side < MIN_SIDE:
        raise ValueError(f"a shape needs a side of at least {MIN_SIDE} pixels, got {side}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got seed {seed}, index {index}")
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(PAINTER_VERSION, index)))
    canvas = Canvas(side * _SUPERSAMPLE, side * _SUPERSAMPLE)
    ground, color = _two_colors(rng)
    canvas.paint(box(0, 0, canvas.width, canvas.height), _texture(rng, ground), rng, None)
    for _ in range(int(rng.integers(0, _MOST_CLUTTER + 1))):
        _clutter(canvas, rng)
    place, fill = _placement(rng, canvas.unit), _texture(rng, color)
    strokes = int(rng.integers(0, _MOST_STROKES_IN_FRONT + 1))
    front = [np.random.default_rng(source) for source in rng.integers(2**62, size=strokes)]
    canvas.paint(place(outline(shape_of(index) if name is None else name)), fill, rng, None)
    for source in front:
        _stroke(canvas, source)
    image = cv2.resize(canvas.image, (side, side), interpolation=cv2.INTER_AREA)
    image += rng.normal(0, rng.uniform(1, 6), image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _two_colors(rng: np.random.Generator) -> tuple[textures.Color, textures.Color]:
    """Any two colours of which the second is brighter."""
    while True:
        dark, bright = sorted(rng.uniform(10, 245, (2, 3)).tolist(), key=sum)
        if np.mean(bright) - np.mean(dark) >= _LEAST_CONTRAST:
            return tuple(dark), tuple(bright)


def _texture(rng: np.random.Generator, color: textures.Color) -> Material:
    """Noise or wavy stripes about a colour, of random coarseness and contrast."""
    cell, contrast = rng.uniform(0.03, 0.25), rng.uniform(3, 14)
    tint = tuple(rng.uniform(0.3, 1.0, 3))
    striped, angle, pitch = rng.random() < 0.4, rng.uniform(0, np.pi), rng.uniform(0.06, 0.14)

    def material(source: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
        field = textures.fractal(source, height, width, cell * unit, 2)
        if striped:
            ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
            across = (xs * np.cos(angle) + ys * np.sin(angle)) * (2 * np.pi / (pitch * unit))
            field = np.sin(across + 0.6 * field).astype(np.float32)
        return textures.tinted(field, color, contrast, tint)

    return material


def _placement(rng: np.random.Generator, unit: float) -> Callable[[np.ndarray], np.ndarray]:
    """Turned a little, stretched, and so placed that all of a shape lies in the image."""
    size, where = np.sqrt(rng.uniform(*_AREA)) * unit, rng.uniform(0.1, 0.9, 2)
    turn, axis = rng.uniform(-_LARGEST_TURN, _LARGEST_TURN), rng.uniform(0, np.pi)
    squeeze = np.sqrt(rng.uniform(0.75, 1.0))

    def rotation(angle: float) -> np.ndarray:
        return np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])

    # Stretched along an axis of its own: a square becomes a rhomboid, a disc an ellipse.
    matrix = rotation(axis + turn) @ np.diag([1 / squeeze, squeeze]) @ rotation(-axis)

    def place(points: np.ndarray) -> np.ndarray:
        points = size * (points @ matrix)
        low, high = points.min(axis=0), points.max(axis=0)
        return points - low + where * (unit - (high - low))

    return place


def _clutter(canvas: Canvas, rng: np.random.Generator) -> None:
    """A patch or a stroke of any colour behind the shape."""
    if rng.random() < 0.5:
        _stroke(canvas, rng)
        return
    x, y = rng.uniform(0, canvas.unit, 2)
    rx, ry = rng.uniform(0.03, 0.12, 2) * canvas.unit
    patch = blob(rng, x, y, rx, ry, 0.4, 5)
    canvas.paint(patch, tuple(rng.uniform(0, 255, 3)), rng, None, rng.uniform(0.4, 1.0))


def _stroke(canvas: Canvas, rng: np.random.Generator) -> None:
    x, y = rng.uniform(0, canvas.unit, 2)
    length, width = rng.uniform(0.1, 0.5) * canvas.unit, rng.uniform(0.008, 0.02) * canvas.unit
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)]) * length
    across = np.array([-np.sin(angle), np.cos(angle)]) * width
    corners = np.array([-along - across, along - across, along + across, -along + across]) / 2
    color = tuple(rng.uniform(0, 255, 3))
    canvas.paint(corners + (x, y), color, rng, None, rng.uniform(0.5, 1.0))
