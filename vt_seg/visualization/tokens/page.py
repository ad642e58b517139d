"""One HTML file per image, in which pixels and tokens point at each other."""

import base64
import html
import json
import re
from collections.abc import Mapping
from importlib import resources

import cv2
import numpy as np

from .colors import HEAT_PALETTES, heat_palette, token_palette
from .packing import pack_layers
from .study import LevelMaps, TokenStudy

# Of pictures and maps; script and style are some 30 kB more. A page stays below 5 MB.
_MAX_BYTES = 4_900_000
_LONGEST_SIDE = 1000


def token_page(study: TokenStudy, facts: Mapping[str, str]) -> str:
    """A page that needs no other file and no network: pictures, maps and script are inside.

    Maps of more than 200 cells a side are averaged down to that, single heads' further; the page
    says so. Values are kept in 255 steps of each map's range.

    Args:
        study: of one image.
        facts: what stands below the title, name and value: config, weights, ...

    Returns:
        the HTML, in UTF-8's characters.
    """
    layers = study.layers
    prediction = study.prediction
    image = _data_url(study.image_rgb)
    picture = None if prediction.picture is None else _data_url(prediction.picture)
    for_maps = _MAX_BYTES - len(image) - len(picture or "")
    packed, described, labels = pack_layers(list(layers.values()), prediction.labels, for_maps)
    height, width = study.image_rgb.shape[:2]
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
        "palettes": {name: _base64(heat_palette(name).tobytes()) for name in HEAT_PALETTES},
        "layers": [
            _describe(name, levels, places)
            for (name, levels), places in zip(layers.items(), described, strict=True)
        ],
    }
    parts = {
        "title": html.escape(study.name),
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
    """A layer for the script: its tokens, those of all levels in order, and its levels."""
    numbers = {token: i for i, token in enumerate(token for one in levels for token in one.names)}
    readers = [[numbers[token] for token in one.read_names or one.names] for one in levels]
    # Tokens that are read together need colours of their own.
    colors = {}
    for tokens in readers:
        colors |= zip(tokens, token_palette(len(tokens)), strict=True)
    return {
        "name": name,
        "tokens": [
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
        ],
        "levels": [
            {
                "name": one.level,
                "cells": list(one.attention.shape[-2:]),
                "covered": list(one.covered),
                "tokens": tokens,
                **place,
            }
            for one, tokens, place in zip(levels, readers, places, strict=True)
        ],
    }


def _data_url(picture_rgb: np.ndarray) -> str:
    """A picture as JPEG, its longer side at most 1000 pixels."""
    scale = min(1.0, _LONGEST_SIDE / max(picture_rgb.shape[:2]))
    if scale < 1:
        picture_rgb = cv2.resize(
            picture_rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
    _, encoded = cv2.imencode(".jpg", picture_rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + _base64(encoded.tobytes())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
