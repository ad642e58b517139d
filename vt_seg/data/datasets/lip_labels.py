"""LIP's 20 classes, in the order of their ids (0-19)."""

from __future__ import annotations

from typing import NamedTuple


class LipLabel(NamedTuple):
    """One class: its name, colour (RGB), and the id it has in the mirrored image."""

    name: str
    color: tuple[int, int, int]
    flipped: int


LIP_LABELS = (
    LipLabel("Background", (0, 0, 0), 0),
    LipLabel("Hat", (128, 0, 0), 1),
    LipLabel("Hair", (255, 0, 0), 2),
    LipLabel("Glove", (0, 85, 0), 3),
    LipLabel("Sunglasses", (170, 0, 51), 4),
    LipLabel("Upper-clothes", (255, 85, 0), 5),
    LipLabel("Dress", (0, 0, 85), 6),
    LipLabel("Coat", (0, 119, 221), 7),
    LipLabel("Socks", (85, 85, 0), 8),
    LipLabel("Pants", (0, 85, 85), 9),
    LipLabel("Jumpsuits", (85, 51, 0), 10),
    LipLabel("Scarf", (52, 86, 128), 11),
    LipLabel("Skirt", (0, 128, 0), 12),
    LipLabel("Face", (0, 0, 255), 13),
    LipLabel("Left-arm", (51, 170, 221), 15),
    LipLabel("Right-arm", (0, 255, 255), 14),
    LipLabel("Left-leg", (85, 255, 170), 17),
    LipLabel("Right-leg", (170, 255, 85), 16),
    LipLabel("Left-shoe", (255, 255, 0), 19),
    LipLabel("Right-shoe", (255, 170, 0), 18),
)

LIP_FLIP_LABEL_PAIRS = tuple(
    (i, label.flipped) for i, label in enumerate(LIP_LABELS) if i < label.flipped
)
