"""The countable objects of vt_scenes; (x, y) in pixels is the point where they stand."""

import colorsys

import numpy as np

from vt_seg.data.datasets import SCENE_LABEL

from . import textures
from .canvas import Canvas, blob, box, ellipse

HOUSE_RISE = 1.3
"""Largest height of a house with its roof, relative to its width."""


def bright_color(rng: np.random.Generator) -> tuple[float, float, float]:
    """Return a saturated BGR colour of random hue."""
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.6, 0.95), rng.uniform(0.6, 0.95))
    return 255 * b, 255 * g, 255 * r


def tree(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a tree; ``size`` is its height."""
    label = SCENE_LABEL["tree"]
    canvas.shade(ellipse(x, y, 0.36 * size, 0.07 * size), rng)
    trunk = rng.uniform(0.05, 0.08) * size
    bark = textures.jitter(rng, (45, 65, 95), 15)
    canvas.paint(box(x - trunk, y - 0.5 * size, x + trunk, y), bark, rng, label)
    rx, ry = rng.uniform(0.26, 0.36) * size, 0.33 * size
    crown = blob(rng, x, y - 0.62 * size, rx, ry, 0.14, 6)
    canvas.paint(crown, textures.leaves, rng, label)


def car(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a car; ``size`` is its length."""
    label = SCENE_LABEL["car"]
    facing = 1 if rng.random() < 0.5 else -1
    paint = bright_color(rng)

    def at(points: list[tuple[float, float]]) -> np.ndarray:
        return np.array([(x + facing * px * size, y + py * size) for px, py in points])

    canvas.shade(ellipse(x, y, 0.54 * size, 0.07 * size), rng, 0.6)
    body = [(-0.5, -0.1), (-0.48, -0.3), (-0.33, -0.33), (0.32, -0.33), (0.5, -0.25), (0.5, -0.1)]
    cabin = [(-0.36, -0.32), (-0.26, -0.52), (0.1, -0.52), (0.27, -0.32)]
    canvas.paint(at(cabin), paint, rng, label)
    canvas.paint(at(body), paint, rng, label)
    glass = rng.uniform(50, 110)
    pane = (glass + 25, glass + 10, glass)
    rear = [(-0.29, -0.34), (-0.22, -0.48), (-0.1, -0.48), (-0.1, -0.34)]
    front = [(-0.05, -0.34), (-0.05, -0.48), (0.07, -0.48), (0.19, -0.34)]
    sill = [(-0.5, -0.15), (-0.5, -0.1), (0.5, -0.1), (0.5, -0.15)]
    canvas.paint(at(rear), pane, rng, label)
    canvas.paint(at(front), pane, rng, label)
    canvas.paint(at(sill), (30, 30, 30), rng, label, 0.6)
    for wheel in (-0.29, 0.3):
        cx, cy = x + facing * wheel * size, y - 0.1 * size
        tyre, hub = 0.1 * size, 0.04 * size
        canvas.paint(ellipse(cx, cy, tyre, tyre, count=20), (28, 26, 26), rng, label)
        canvas.paint(ellipse(cx, cy, hub, hub, count=12), (165, 165, 165), rng, label)


def ball(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a striped ball lit from above; ``size`` is its diameter."""
    radius = size / 2
    cy = y - radius
    canvas.shade(ellipse(x + 0.15 * size, y, 0.6 * size, 0.13 * size), rng)
    first, second = bright_color(rng), (232.0, 235.0, 238.0)
    turn, stripes = rng.uniform(0, np.pi), int(rng.integers(3, 6))

    def skin(_: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
        ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        across = xs * np.cos(turn) + ys * np.sin(turn)
        odd = (np.floor((across + 1) * stripes / 2) % 2).astype(np.float32)[..., None]
        color = np.asarray(first, np.float32) * odd + np.asarray(second, np.float32) * (1 - odd)
        light = 1.05 - 0.45 * ((xs + 0.35) ** 2 + (ys + 0.45) ** 2) / 1.6
        return color * np.clip(light, 0.35, 1.1)[..., None]

    canvas.paint(ellipse(x, cy, radius, radius), skin, rng, SCENE_LABEL["ball"])


def crate(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a wooden box seen from above; ``size`` is the side of its front face."""
    label = SCENE_LABEL["crate"]
    half, depth = size / 2, rng.uniform(0.25, 0.4) * size
    lean = depth * (1 if rng.random() < 0.5 else -1)
    canvas.shade(ellipse(x, y, 0.85 * size, 0.13 * size), rng)
    top, low = y - size, y
    near = x + (half if lean > 0 else -half)
    up = 0.55 * depth
    side = [(near, low), (near + lean, low - up), (near + lean, top - up), (near, top)]
    left, right, back = x - half, x + half, top - up
    lid = [(left, top), (right, top), (right + lean, back), (left + lean, back)]
    canvas.paint(side, textures.planks, rng, label)
    canvas.shade(side, rng, 0.45)
    canvas.paint(lid, textures.planks, rng, label)
    canvas.paint(lid, (215, 225, 235), rng, None, 0.3)
    canvas.paint(box(x - half, top, x + half, low), textures.planks, rng, label)
    brace = 0.09 * size
    diagonal = [(x - half, low), (x - half, low - brace), (x + half - brace, top), (x + half, top)]
    diagonal += [(x + half, top + brace), (x - half + brace, low)]
    canvas.paint(diagonal, (45, 75, 110), rng, label)


def house(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Draw a brick house with windows and, at random, a roof; ``size`` is its width."""
    label = SCENE_LABEL["building"]
    height = rng.uniform(0.75, 1.0) * size
    half, top = size / 2, y - height
    canvas.paint(box(x - half, top, x + half, y), textures.bricks, rng, label)
    if rng.random() < 0.6:
        slate = textures.jitter(rng, (70, 68, 80), 18)
        over, rise = 0.56 * size, rng.uniform(0.2, 0.3) * size
        canvas.paint([(x - over, top), (x, top - rise), (x + over, top)], slate, rng, label)
    pane = textures.jitter(rng, (115, 95, 70), 30)
    columns, floors = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    for column in range(columns):
        for floor in range(floors):
            wx = x - half + size * (column + 0.5) / columns
            wy = top + height * (floor + 0.45) / floors
            w, h = 0.2 * size / columns, 0.22 * height / floors
            frame = box(wx - 1.4 * w, wy - 1.3 * h, wx + 1.4 * w, wy + 1.3 * h)
            canvas.paint(frame, (205, 210, 215), rng, label)
            canvas.paint(box(wx - w, wy - h, wx + w, wy + h), pane, rng, label)
