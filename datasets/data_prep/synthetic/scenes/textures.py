"""Procedural materials of vt_scenes.

Every material is a function from ``(rng, height, width, unit)`` to a float32 BGR image
``(height, width, 3)`` in 0-255. ``unit`` is the scene's shorter side in pixels. Lengths are
fractions of it, so that a scene looks alike at any size.
"""

import cv2
import numpy as np

Color = tuple[float, float, float]


def fork(rng: np.random.Generator) -> np.random.Generator:
    """Return a generator of its own, whose draws do not advance ``rng``, whatever the size."""
    return np.random.default_rng(int(rng.integers(2**62)))


def fractal(
    rng: np.random.Generator,
    height: int,
    width: int,
    cell: float | tuple[float, float],
    octaves: int = 3,
) -> np.ndarray:
    """Return smooth noise ``(height, width)`` float32 of about zero mean and unit std.

    Args:
        rng: Generator.
        height: Height in pixels.
        width: Width in pixels.
        cell: Size of the largest blobs in pixels, or (vertical, horizontal) sizes.
        octaves: Number of octaves; each has half the blob size and 0.6 of the amplitude of the one
            before.
    """
    cell_y, cell_x = cell if isinstance(cell, tuple) else (cell, cell)
    total = np.zeros((height, width), np.float32)
    power = 0.0
    for octave in range(octaves):
        rows = int(np.ceil(height / max(cell_y / 2**octave, 1.0))) + 3
        cols = int(np.ceil(width / max(cell_x / 2**octave, 1.0))) + 3
        grid = rng.standard_normal((rows, cols), dtype=np.float32)
        # The grid is upsampled to the cell's size, whatever the region's, and cropped at random.
        big_y = max(height, round((rows - 1) * max(cell_y / 2**octave, 1.0)))
        big_x = max(width, round((cols - 1) * max(cell_x / 2**octave, 1.0)))
        big = cv2.resize(grid, (big_x, big_y), interpolation=cv2.INTER_CUBIC)
        top = int(rng.random() * (big_y - height + 1))
        left = int(rng.random() * (big_x - width + 1))
        amplitude = 0.6**octave
        total += amplitude * big[top : top + height, left : left + width]
        power += amplitude**2
    return total / np.float32(0.75 * np.sqrt(power))


def tinted(field: np.ndarray, color: Color, contrast: float, tint: Color = (1, 1, 1)) -> np.ndarray:
    """Return a colour whose brightness varies by ``field``: ``(H, W)`` to ``(H, W, 3)``."""
    weights = np.asarray(tint, np.float32) * np.float32(contrast)
    return np.asarray(color, np.float32) + field[..., None] * weights


def jitter(rng: np.random.Generator, color: Color, spread: float) -> Color:
    """Return a colour changed by up to ``spread`` in each channel."""
    return tuple(float(c + rng.uniform(-spread, spread)) for c in color)


def sky(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return a sky with clouds, brighter at the horizon."""
    zeniths = ((205, 135, 80), (190, 165, 140), (175, 120, 130), (190, 160, 95))
    horizons = ((235, 210, 180), (215, 210, 205), (190, 195, 225), (225, 215, 175))
    kind = int(rng.integers(len(zeniths)))
    top = np.asarray(jitter(rng, zeniths[kind], 20), np.float32)
    low = np.asarray(jitter(rng, horizons[kind], 15), np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.broadcast_to(top + (low - top) * ramp, (height, width, 3)).copy()
    clouds = fractal(fork(rng), height, width, (0.12 * unit, 0.35 * unit), 4)
    cover = np.clip((clouds - rng.uniform(0.2, 1.2)) * 0.6, 0, 0.55)[..., None]
    return image + cover * (np.float32(225) - image)


def mountain(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return ridged rock."""
    color = jitter(rng, (125, 105, 105), 22)
    ridges = 1.2 - 2.2 * np.abs(fractal(fork(rng), height, width, (0.16 * unit, 0.1 * unit), 4))
    return tinted(np.clip(ridges, -1.6, 1.4), color, 24, (1.0, 1.0, 0.9))


def forest(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return tree crowns seen from afar."""
    color = jitter(rng, (42, 70, 36), 13)
    crowns = fractal(fork(rng), height, width, (0.035 * unit, 0.025 * unit), 2)
    return tinted(crowns, color, 17, (0.7, 1.1, 0.7))


def meadow(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return grass."""
    color = jitter(rng, (72, 160, 118), 18)
    source = fork(rng)
    swell = fractal(source, height, width, (0.1 * unit, 0.4 * unit), 2)
    blades = fractal(source, height, width, (0.03 * unit, 0.01 * unit), 2)
    return tinted(0.5 * swell + blades, color, 10, (0.7, 1.0, 1.0))


def road(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return grainy grey asphalt."""
    grey = rng.uniform(88, 130)
    grain = fractal(fork(rng), height, width, 0.012 * unit, 2)
    return tinted(grain, jitter(rng, (grey, grey, grey), 5), 6)


def bricks(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return a brick wall."""
    color = jitter(rng, (70, 88, 165), 22)
    course, length = 0.026 * unit, 0.06 * unit
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    row = np.floor(ys / course)
    shifted = xs + np.where(row % 2 == 0, 0, length / 2)
    column = np.floor(shifted / length)
    shade = np.sin(row * 12.9 + column * 78.2 + float(rng.random()) * 50)
    mortar = ((ys - row * course) < 0.22 * course) | ((shifted - column * length) < 0.1 * length)
    wall = tinted(shade.astype(np.float32), color, 14, (0.8, 0.9, 1.2))
    wall[mortar] = (165, 175, 185)
    return wall


def leaves(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return foliage, lit from the upper left."""
    color = jitter(rng, (58, 122, 66), 22)
    clumps = fractal(fork(rng), height, width, 0.045 * unit, 2)
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return tinted(0.9 * clumps - 0.9 * ys - 0.6 * xs, color, 17, (0.6, 1.0, 0.8))


def planks(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return horizontal wooden planks."""
    color = jitter(rng, (75, 125, 175), 20)
    grain = fractal(fork(rng), height, width, (0.008 * unit, 0.12 * unit), 2)
    ys = np.arange(height, dtype=np.float32)[:, None]
    pitch = max(0.035 * unit, 3.0)
    gap = ((ys % pitch) < 0.2 * pitch).astype(np.float32)
    return tinted(0.8 * grain - 3.2 * gap, color, 12, (0.9, 1.0, 1.0))


def plot(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return the furrows of a field, alike for wheat and fallow."""
    color = jitter(rng, (78, 150, 190), 22)
    angle = rng.uniform(0, np.pi)
    pitch = rng.uniform(0.035, 0.055) * unit
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    source = fork(rng)
    phase = (xs * np.cos(angle) + ys * np.sin(angle)) * (2 * np.pi / pitch)
    rows = np.sin(phase + 0.7 * fractal(source, height, width, 0.1 * unit, 2))
    grain = fractal(source, height, width, 0.014 * unit, 2)
    return tinted(rows.astype(np.float32) + 0.45 * grain, color, 20, (0.7, 1.0, 1.0))


def water(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Return the smooth surface of a pond, alike for lake and ice."""
    color = jitter(rng, (195, 165, 110), 20)
    source = fork(rng)
    ripples = fractal(source, height, width, (0.022 * unit, 0.16 * unit), 3)
    glints = np.clip(fractal(source, height, width, (0.015 * unit, 0.07 * unit), 2) - 1.3, 0, 1.5)
    return tinted(0.7 * ripples + 2.0 * glints, color, 12, (1.0, 1.0, 1.0))
