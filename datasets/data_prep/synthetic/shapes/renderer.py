"""Render an image of vt_shapes: a textured shape on a darker textured ground, among clutter.

The class decides nothing but the outline: colours, textures, position, size, rotation and stretch
are drawn from a random stream before the outline is looked up.
"""

from collections.abc import Callable

import cv2
import numpy as np

from vt_seg.data.datasets import SHAPE_NAMES

from ..scenes import textures
from ..scenes.canvas import Canvas, Material, blob, box
from .outlines import outline

RENDERER_VERSION = 1
"""Increased whenever the same (seed, index) gives other pixels."""

MIN_SIDE = 32
_SUPERSAMPLE = 2
_MIN_CONTRAST = 55.0  # Difference of mean brightness between shape and ground.
_AREA = (0.10, 0.19)  # Share of the image that a shape covers.
_MAX_ROTATION = np.radians(20)
_MAX_CLUTTER, _MAX_STROKES_IN_FRONT = 4, 1


def shape_of(index: int) -> str:
    """Return the class of image ``index``; classes alternate, so that all are equally frequent."""
    return SHAPE_NAMES[index % len(SHAPE_NAMES)]


def render_shape(seed: int, index: int, side: int, name: str | None = None) -> np.ndarray:
    """Return an image ``(side, side, 3)`` uint8 BGR.

    The same arguments give the same pixels, whatever was rendered before.

    Args:
        seed: Random seed of the set.
        index: Index of the image.
        side: Height and width in pixels.
        name: Class to render in place of ``shape_of(index)``, in the same surroundings.

    Raises:
        KeyError: if there is no class of this name.
        ValueError: if the side is shorter than 32 pixels, or seed or index is negative.
    """
    if side < MIN_SIDE:
        raise ValueError(f"a shape needs a side of at least {MIN_SIDE} pixels, got {side}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got seed {seed}, index {index}")
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(RENDERER_VERSION, index)))
    canvas = Canvas(side * _SUPERSAMPLE, side * _SUPERSAMPLE)
    ground, color = _two_colors(rng)
    canvas.paint(box(0, 0, canvas.width, canvas.height), _texture(rng, ground), rng, None)
    for _ in range(int(rng.integers(0, _MAX_CLUTTER + 1))):
        _clutter(canvas, rng)
    place, fill = _placement(rng, canvas.unit), _texture(rng, color)
    strokes = int(rng.integers(0, _MAX_STROKES_IN_FRONT + 1))
    front = [np.random.default_rng(source) for source in rng.integers(2**62, size=strokes)]
    canvas.paint(place(outline(shape_of(index) if name is None else name)), fill, rng, None)
    for source in front:
        _stroke(canvas, source)
    image = cv2.resize(canvas.image, (side, side), interpolation=cv2.INTER_AREA)
    image += rng.normal(0, rng.uniform(1, 6), image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _two_colors(rng: np.random.Generator) -> tuple[textures.Color, textures.Color]:
    """Return two colours, the second of which is brighter."""
    while True:
        dark, bright = sorted(rng.uniform(10, 245, (2, 3)).tolist(), key=sum)
        if np.mean(bright) - np.mean(dark) >= _MIN_CONTRAST:
            return tuple(dark), tuple(bright)


def _texture(rng: np.random.Generator, color: textures.Color) -> Material:
    """Return noise or wavy stripes around a colour, of random coarseness and contrast."""
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
    """Return a random placement that rotates, stretches and moves a shape within the image."""
    size, where = np.sqrt(rng.uniform(*_AREA)) * unit, rng.uniform(0.1, 0.9, 2)
    turn, axis = rng.uniform(-_MAX_ROTATION, _MAX_ROTATION), rng.uniform(0, np.pi)
    squeeze = np.sqrt(rng.uniform(0.75, 1.0))

    def rotation(angle: float) -> np.ndarray:
        return np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])

    # The axis of the stretch is random: a square becomes a rhomboid, a disc an ellipse.
    matrix = rotation(axis + turn) @ np.diag([1 / squeeze, squeeze]) @ rotation(-axis)

    def place(points: np.ndarray) -> np.ndarray:
        points = size * (points @ matrix)
        low, high = points.min(axis=0), points.max(axis=0)
        return points - low + where * (unit - (high - low))

    return place


def _clutter(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw a patch or a stroke of any colour behind the shape."""
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
    canvas.paint(corners + np.array((x, y)), color, rng, None, rng.uniform(0.5, 1.0))
