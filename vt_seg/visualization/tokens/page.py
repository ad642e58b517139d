"""One HTML page per image, in which a reader points at pixels and picks tokens."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from importlib import resources

import cv2
import numpy as np

from .analysis import LevelMaps, TokenAnalysis
from .colors import HEAT_PALETTES, heat_palette, token_palette
from .map_packing import pack_layers

# Limit of pictures and maps; script and style take some 30 kB more. A page stays below 5 MB.
_MAX_BYTES = 4_900_000
_LONGEST_SIDE = 1000


def token_page(analysis: TokenAnalysis, facts: Mapping[str, str]) -> str:
    """Return a page that needs no other file and no network.

    Maps of more than 200 cells a side are averaged down to that, single heads' further; the page
    says so. Values are kept in 255 steps of each map's range. ``facts`` are names and values that
    stand below the title: config, weights, ...
    """
    layers = analysis.layers
    prediction = analysis.prediction
    image = _data_url(analysis.image_rgb)
    picture = None if prediction.picture is None else _data_url(prediction.picture)
    for_maps = _MAX_BYTES - len(image) - len(picture or "")
    packed, places, labels = pack_layers(list(layers.values()), prediction.labels, for_maps)
    height, width = analysis.image_rgb.shape[:2]
    data = {
        "width": width,
        "height": height,
        "image": image,
        "prediction": {
            "picture": picture,
            "labels": labels,
            "classes": prediction.classes,
            "top": prediction.top,
        },
        "palettes": {
            name: b64encode(heat_palette(name).tobytes()).decode() for name in HEAT_PALETTES
        },
        "layers": [
            _describe(name, levels, level_places)
            for (name, levels), level_places in zip(layers.items(), places, strict=True)
        ],
    }
    parts = {
        "title": html.escape(analysis.name),
        "facts": "".join(
            f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
            for name, value in facts.items()
        ),
        "style": _part("page.css"),
        "maps_script": _part("page_maps.js"),
        "script": _part("page.js"),
        # "</" would end the script element, "<!--" open a comment in it.
        "data": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        "maps": packed.decode(),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _part("page.html"))


def _describe(name: str, levels: list[LevelMaps], places: list[dict]) -> dict:
    """Describe a layer for the script: the tokens of all its levels, and the levels."""
    numbers = {token: i for i, token in enumerate(token for one in levels for token in one.names)}
    readers = [[numbers[token] for token in one.read_names or one.names] for one in levels]
    # Tokens that are read together get different colours.
    colors: dict[int, np.ndarray] = {}
    for read in readers:
        colors |= zip(read, token_palette(len(read)), strict=True)
    tokens = [
        {
            "name": token,
            "level": level,
            "index": index,
            "color": "#" + bytes(colors[numbers[token]].tolist()).hex(),
            "origin": list(one.origins[index]),
            "isNew": one.origins[index][0] == one.layer,
            "inside": float(f"{one.inside[index]:.4g}"),
        }
        for level, one in enumerate(levels)
        for index, token in enumerate(one.names)
    ]
    level_maps = []
    for one, read, place in zip(levels, readers, places, strict=True):
        sizes = {"cells": list(one.attention.shape[-2:]), "covered": list(one.covered)}
        level_maps.append({"name": one.level, **sizes, "tokens": read, **place})
    return {"name": name, "tokens": tokens, "levels": level_maps}


def _data_url(picture_rgb: np.ndarray) -> str:
    """Encode a picture as JPEG, its longer side at most 1000 pixels."""
    scale = min(1.0, _LONGEST_SIDE / max(picture_rgb.shape[:2]))
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in picture_rgb.shape[:2])
        picture_rgb = cv2.resize(picture_rgb, (width, height), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", picture_rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + b64encode(encoded.tobytes()).decode()


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
