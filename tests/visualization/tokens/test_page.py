"""The page is one file that loads nothing, and escapes names."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tests.visualization.tokens.synthetic_analyses import CLASSES, analysis, level
from vt_seg.visualization.tokens import Prediction, token_page


def data_of(page):
    return json.loads(
        re.search(r'<script type="application/json".*?>(.*?)</script>', page, re.S)[1]
    )


def test_page_loads_nothing():
    page = token_page(analysis(), {"Config": "a.yaml"})
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    # There is no address but those of the pictures and maps, which are inside.
    written = re.sub(
        r'<script type="(application/json|text/plain)".*?</script>', "", page, flags=re.S
    )
    assert data_of(page)["image"] not in written
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<link|\bsrc=|\bhref=|{{", written)


def test_names_are_escaped():
    nasty = "</script><script>alert(1)</script>&<b>.jpg"
    prediction = Prediction(top=((nasty, 1.0),))
    page = token_page(analysis(name=nasty, prediction=prediction), {"Config": nasty})
    assert "<script>alert(1)" not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;b&gt;.jpg" in page
    assert data_of(page)["prediction"]["top"] == [[nasty, 1.0]]


def test_description_of_tokens_and_levels():
    # The tokens of two levels are read at both; one token is kept from the first layer.
    names = ("res3/1", "res3/2", "res4/1")
    random = np.random.default_rng(0)

    def shares(rows, columns):
        return random.dirichlet(np.ones(3), (2, rows, columns)).transpose(0, 3, 1, 2)

    levels = [
        level(tokens=2, reads=shares(6, 8), read_names=names, origins=((1, 2), (2, 2)), layer=2),
        level("res4", 16, tokens=1, reads=shares(3, 4), read_names=names, layer=2),
    ]
    levels[0].inside[1] = 0.9
    (layer,) = data_of(token_page(analysis(*levels), {}))["layers"]
    assert layer["name"] == "neck, layer 2"
    tokens = layer["tokens"]
    assert [token["name"] for token in tokens] == list(names)
    assert [(token["level"], token["index"]) for token in tokens] == [(0, 0), (0, 1), (1, 0)]
    assert [token["isNew"] for token in tokens] == [False, True, True]
    assert (tokens[0]["origin"], tokens[1]["inside"]) == ([1, 2], 0.9)
    assert len({token["color"] for token in tokens}) == 3
    assert all(re.fullmatch("#[0-9a-f]{6}", token["color"]) for token in tokens)
    assert [one["tokens"] for one in layer["levels"]] == [[0, 1, 2]] * 2
    assert [one["cells"] for one in layer["levels"]] == [[6, 8], [3, 4]]


def test_description_of_pictures_classes_and_own_tokens():
    levels = [level(), level("res4", 16, reads=None, read_names=())]
    data = data_of(token_page(analysis(*levels), {}))
    (layer,) = data["layers"]
    assert [one["tokens"] for one in layer["levels"]] == [[0, 1, 2], [3, 4, 5]]
    assert layer["levels"][1]["reads"] is None
    assert (data["width"], data["height"]) == (64, 48)
    assert data["image"].startswith("data:image/jpeg;base64,/9j/")
    assert data["prediction"]["classes"] == list(CLASSES)
    assert data["prediction"]["labels"]["size"] == [48, 64]


@pytest.mark.parametrize("heads", [1, 16])
def test_a_page_stays_below_5_mb(heads):
    # Noise does not compress; its size is that of COCO's res2.
    random = np.random.default_rng(0)
    noise = random.random((heads, 8, 200, 304), dtype=np.float32)
    one = level(tokens=8, heads=heads, attention=noise, reads=noise)
    picture = random.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    noisy = dataclasses.replace(
        analysis(one, dataclasses.replace(one, layer=2), prediction=Prediction(picture)),
        image_rgb=picture,
    )
    for what in (analysis(one), noisy):
        assert 500_000 < len(token_page(what, {}).encode()) < 5_000_000
