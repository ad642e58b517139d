"""Render a scene of vt_scenes: a landscape with objects and two pairs of context classes.

**Context classes.** A field is ``wheat`` or ``fallow``, a pond ``lake`` or ``ice``. Two random
choices, from a stream of their own, decide. They are only read where the *cue* is drawn, the disc
in the sky (sun or moon) and the flag on the tower (red or blue), and where the label is written. So
neither texture, colour, shape, position nor lighting of a field or pond reveals its label, only the
cue, which is at least 0.4 of the image's shorter side away.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from vt_seg.data.datasets import IGNORE_LABEL, SCENE_LABEL

from . import textures, things
from .canvas import Canvas, blob, box, ellipse

RENDERER_VERSION = 1
"""Increased whenever the same (seed, index) gives other pixels."""

MIN_SIDE = 32
_SUPERSAMPLE = 2
# Fractions of the height: cues are above the first, fields and ponds below the second.
_CUES_END, _CONTEXT_BEGINS = 0.185, 0.605


@dataclass
class Scene:
    """A rendered scene.

    Attributes:
        image: Image ``(H, W, 3)`` uint8, BGR.
        mask: Label map ``(H, W)`` uint8, 255 on the borders between regions.
        cues: The cue's pixels, ``(H, W)`` bool, by context pair ("field", "pond").
        truth: The label of its regions, visible or not, by context pair.
    """

    image: np.ndarray
    mask: np.ndarray
    cues: dict[str, np.ndarray] = field(default_factory=dict)
    truth: dict[str, str] = field(default_factory=dict)


def render_scene(seed: int, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image ``(H, W, 3)`` uint8 BGR and label map ``(H, W)`` uint8 of a scene.

    The same (seed, index, height, width) gives the same pixels, whatever was rendered before.

    Raises:
        ValueError: if a side is shorter than 32 pixels, or seed or index is negative.
    """
    scene = compose_scene(seed, index, height, width)
    return scene.image, scene.mask


def compose_scene(
    seed: int, index: int, height: int, width: int, truth: dict[str, str] | None = None
) -> Scene:
    """Render a scene and return it with its cues and what they decide.

    Args:
        seed: Random seed of the set.
        index: Index of the scene.
        height: Height in pixels.
        width: Width in pixels.
        truth: Labels of the context pairs, ``{"field": "wheat", "pond": "ice"}``, in place of
            random ones: the same scene with other cues, to test whether a model uses them.

    Raises:
        ValueError: if a side is shorter than 32 pixels, or seed or index is negative.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"a scene needs sides of at least {MIN_SIDE} pixels, got {height}x{width}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got seed {seed}, index {index}")
    streams = np.random.SeedSequence(seed, spawn_key=(RENDERER_VERSION, index)).spawn(3)
    layout, coins, lens = (np.random.default_rng(s) for s in streams)
    truth = truth or {
        "field": "wheat" if coins.random() < 0.5 else "fallow",
        "pond": "lake" if coins.random() < 0.5 else "ice",
    }
    canvas = Canvas(height * _SUPERSAMPLE, width * _SUPERSAMPLE)
    cues = _draw_landscape(canvas, layout, truth)
    image = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
    # The top-left pixel of each 2x2 block suffices, since borders of regions are ignored.
    mask = _ignore_borders(canvas.labels[::_SUPERSAMPLE, ::_SUPERSAMPLE])
    cues = {pair: cue[::_SUPERSAMPLE, ::_SUPERSAMPLE] for pair, cue in cues.items()}
    return Scene(_photograph(image, lens), mask, cues, truth)


def _draw_landscape(
    canvas: Canvas, rng: np.random.Generator, truth: dict[str, str]
) -> dict[str, np.ndarray]:
    """Draw sky, far land, ground, fields and ponds, and objects; return the cues."""
    w, h, unit = canvas.width, canvas.height, canvas.unit
    horizon = rng.uniform(0.40, 0.47) * h
    canvas.paint(box(0, 0, w, h), textures.sky, rng, SCENE_LABEL["sky"])
    flag_side = 1 if rng.random() < 0.5 else -1
    cues = {"field": _disc(canvas, rng, flag_side, truth["field"] == "wheat")}
    if rng.random() < 0.9:
        ridge = _ridge(rng, w, rng.uniform(0.30, 0.35) * h, 0.085 * h, 7)
        canvas.paint([*ridge, (w, h), (0, h)], textures.mountain, rng, SCENE_LABEL["mountain"])
    if rng.random() < 0.9:
        line = _ridge(rng, w, horizon - rng.uniform(0.05, 0.09) * h, 0.02 * h, 24)
        canvas.paint([*line, (w, h), (0, h)], textures.forest, rng, SCENE_LABEL["forest"])
    ground = _ridge(rng, w, horizon, 0.012 * h, 4)
    canvas.paint([*ground, (w, h), (0, h)], textures.meadow, rng, SCENE_LABEL["meadow"])
    _road(canvas, rng, horizon)
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.uniform(0.05, 0.95) * w, horizon + rng.uniform(0.02, 0.1) * h
        # The size is bounded, so that no roof reaches a cue.
        size = min(rng.uniform(0.14, 0.22) * unit, (y - (_CUES_END + 0.01) * h) / things.HOUSE_RISE)
        things.house(canvas, rng, x, y, size)
    cues["pond"] = _tower(canvas, rng, flag_side, horizon, truth["pond"] == "lake")
    _fields_and_ponds(canvas, rng, truth)
    _objects(canvas, rng, horizon)
    return cues


def _disc(canvas: Canvas, rng: np.random.Generator, flag_side: int, sun: bool) -> np.ndarray:
    """Draw the cue of fields; position, size and noise do not depend on ``sun``."""
    radius = rng.uniform(0.055, 0.07) * canvas.unit
    y = rng.uniform(radius + 0.02 * canvas.height, _CUES_END * canvas.height - radius)
    x = rng.uniform(0.08, 0.66) * canvas.width
    x = x if flag_side > 0 else canvas.width - x
    wear = textures.jitter(rng, (0, 0, 0), 10)
    face, rim = ((30, 185, 250), (20, 130, 235)) if sun else ((238, 228, 222), (150, 120, 118))
    outline = ellipse(x, y, radius, radius)
    canvas.paint(outline, tuple(a + b for a, b in zip(rim, wear, strict=True)), rng, None)
    inner = ellipse(x, y, 0.84 * radius, 0.84 * radius)
    canvas.paint(inner, tuple(a + b for a, b in zip(face, wear, strict=True)), rng, None)
    return canvas.coverage(outline)


def _tower(
    canvas: Canvas, rng: np.random.Generator, side: int, horizon: float, red: bool
) -> np.ndarray:
    """Draw a brick tower at one side, with a flag on top: the cue of ponds."""
    unit, label = canvas.unit, SCENE_LABEL["building"]
    inset = rng.uniform(0.04, 0.09) * unit
    x = canvas.width - inset if side > 0 else inset
    half = rng.uniform(0.035, 0.05) * unit
    top = rng.uniform(0.21, 0.25) * canvas.height
    low = horizon + rng.uniform(0.02, 0.08) * canvas.height
    canvas.paint(box(x - half, top, x + half, low), textures.bricks, rng, label)
    over = 1.3 * half
    canvas.paint(box(x - over, top, x + over, top + 0.025 * unit), (120, 120, 125), rng, label)
    head = rng.uniform(0.02, 0.05) * canvas.height
    pole = 0.008 * unit
    canvas.paint(box(x - pole, head, x + pole, top), (60, 60, 65), rng, label)
    length, drop = -side * rng.uniform(0.15, 0.19) * unit, rng.uniform(0.10, 0.12) * unit
    steps = np.linspace(0, 1, 9)
    wave = 0.012 * unit * np.sin(2 * np.pi * (steps + rng.random())) * steps
    drop = min(drop, _CUES_END * canvas.height - head - 0.012 * unit)
    upper = np.stack([x + length * steps, head + wave], 1)
    lower = np.stack([x + length * steps, head + drop + wave], 1)[::-1]
    wear = textures.jitter(rng, (0, 0, 0), 12)
    color = (45, 35, 215) if red else (205, 70, 30)
    cloth = tuple(a + b for a, b in zip(color, wear, strict=True))
    outline = np.concatenate([upper, lower])
    canvas.paint(outline, cloth, rng, label)
    return canvas.coverage(outline)


def _ridge(
    rng: np.random.Generator, width: int, level: float, relief: float, peaks: int
) -> list[tuple[float, float]]:
    """Return a jagged line from the left to the right edge, around ``level`` by ``relief``."""
    knots = rng.uniform(-1, 1, peaks + 2)
    xs = np.linspace(0, 1, 65)
    ys = np.interp(xs, np.linspace(0, 1, peaks + 2), knots) + 0.12 * rng.uniform(-1, 1, 65)
    return [(float(x * width), float(level + relief * y)) for x, y in zip(xs, ys, strict=True)]


def _road(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Draw a road from the horizon to the lower edge, with a dashed centre line."""
    far, near = rng.uniform(0.3, 0.7) * canvas.width, rng.uniform(0.42, 0.58) * canvas.width
    bend = rng.uniform(-0.12, 0.12) * canvas.width
    slim, wide = 0.012 * canvas.unit, rng.uniform(0.09, 0.12) * canvas.unit
    t = np.linspace(0, 1, 24)
    ys = horizon + t * (canvas.height - horizon)
    xs = far + (near - far) * t + bend * np.sin(np.pi * t)
    half = slim + (wide - slim) * t
    left, right = np.stack([xs - half, ys], 1), np.stack([xs + half, ys], 1)
    canvas.paint(np.concatenate([left, right[::-1]]), textures.road, rng, SCENE_LABEL["road"])
    for start in np.arange(0.1, 0.95, 0.16):
        i, j = int(start * 23), int(start * 23) + 2
        mark = [(xs[k] + s * 0.07 * half[k], ys[k]) for k, s in ((i, -1), (i, 1), (j, 1), (j, -1))]
        canvas.paint(mark, (215, 220, 225), rng, None, 0.85)


def _fields_and_ponds(canvas: Canvas, rng: np.random.Generator, truth: dict[str, str]) -> None:
    """Draw the regions of context classes left and right of the road.

    ``truth`` decides the labels only; nothing that is drawn depends on it.
    """
    w, h = canvas.width, canvas.height
    sides = [-1, 1] if rng.random() < 0.5 else [1, -1]
    spots = [("field", sides[0]), ("pond", sides[1])]
    if rng.random() < 0.12:
        spots.pop(int(rng.integers(2)))
    for pair, side in spots:
        depth = rng.uniform(0.28, 0.37) * h
        highest = _CONTEXT_BEGINS * h + 2
        top = rng.uniform(highest, max(highest, 0.99 * h - depth))
        x = rng.uniform(0.13, 0.2) * w
        x = x if side < 0 else w - x
        half = rng.uniform(0.21, 0.27) * w
        label = SCENE_LABEL[truth[pair]]
        if pair == "field":
            skew = rng.uniform(-0.06, 0.06, 4) * w
            sag = rng.uniform(0, 0.06, 2) * h
            corners = [
                (x - 0.9 * half + skew[0], top + sag[0]),
                (x + 0.9 * half + skew[1], top + sag[1]),
                (x + half + skew[2], top + depth),
                (x - half + skew[3], top + depth),
            ]
            canvas.paint(corners, textures.plot, rng, label)
        else:
            # A blob extends to 1.1 of its radii.
            shore = blob(rng, x, top + depth / 2, half, depth / 2.2, 0.1, 5)
            canvas.paint(shore, textures.water, rng, label)


def _objects(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Draw trees, cars, balls and crates, distant ones first, so that near ones occlude them."""
    wanted = []
    for draw, chance, most, small, large in (
        (things.tree, 0.75, 3, 0.22, 0.33),
        (things.car, 0.75, 2, 0.22, 0.32),
        (things.ball, 0.75, 2, 0.13, 0.19),
        (things.crate, 0.75, 2, 0.12, 0.17),
    ):
        if rng.random() < chance:
            for _ in range(int(rng.integers(1, most + 1))):
                depth = rng.uniform(horizon / canvas.height + 0.08, 0.97)
                wanted.append((depth, draw, small, large))
    for depth, draw, small, large in sorted(wanted, key=lambda item: item[0]):
        # Distant objects are smaller, but never too small to learn.
        scale = 0.75 + 0.35 * (depth - 0.45) / 0.55
        size = rng.uniform(small, large) * scale * canvas.unit
        draw(canvas, rng, rng.uniform(0.04, 0.96) * canvas.width, depth * canvas.height, size)


def _ignore_borders(labels: np.ndarray) -> np.ndarray:
    """Set pixels with a neighbour of another label to 255, a border of two pixels."""
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    border = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    return np.where(border, np.uint8(IGNORE_LABEL), labels)


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply lighting, white balance, exposure, noise and, at random, JPEG to an image."""
    height, width = image.shape[:2]
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.22)
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    light = 1 + strength * (xs * np.cos(angle) + ys * np.sin(angle))
    balance = rng.uniform(0.93, 1.07, 3) * rng.uniform(0.85, 1.12)
    image = image * light[..., None].astype(np.float32) * balance.astype(np.float32)
    image += rng.uniform(2, 7) * rng.standard_normal(image.shape, dtype=np.float32)
    image = np.clip(np.round(image), 0, 255).astype(np.uint8)
    quality = int(rng.integers(55, 95))
    if rng.random() < 0.5:
        ok, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not ok:
            raise RuntimeError("OpenCV could not encode a JPEG")
        image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return image
