"""One file that needs nothing else, says what it shows, and trusts no name."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tests.visualization.tokens.token_studies import CLASSES, level, study
from vt_seg.visualization.tokens.page import token_page
from vt_seg.visualization.tokens.prediction import Prediction


def data_of(page):
    return json.loads(
        re.search(r'<script type="application/json".*?>(.*?)</script>', page, re.S)[1]
    )


def test_nothing_is_loaded():
    page = token_page(study(), {"Config": "a.yaml"})
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    # No address beside the pictures and maps, which are inside.
    written = re.sub(
        r'<script type="(application/json|text/plain)".*?</script>', "", page, flags=re.S
    )
    assert data_of(page)["image"] not in written
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<link|\bsrc=|\bhref=|{{", written)


def test_names_are_text():
    nasty = "</script><script>alert(1)</script>&<b>.jpg"
    prediction = Prediction(top=((nasty, 1.0),))
    page = token_page(study(name=nasty, prediction=prediction), {"Config": nasty})
    assert "<script>alert(1)" not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;b&gt;.jpg" in page
    assert data_of(page)["prediction"]["top"] == [[nasty, 1.0]]


def test_tokens_and_levels():
    # Two levels, both read by both; the second layer keeps a token of the first.
    names = ("res3/1", "res3/2", "res4/1")
    random = np.random.default_rng(0)

    def shares(rows, columns):
        return random.dirichlet(np.ones(3), (2, rows, columns)).transpose(0, 3, 1, 2)

    levels = [
        level(tokens=2, reads=shares(6, 8), read_names=names, origins=((1, 2), (2, 2)), layer=2),
        level("res4", 16, tokens=1, reads=shares(3, 4), read_names=names, layer=2),
    ]
    levels[0].inside[1] = 0.9
    (layer,) = data_of(token_page(study(*levels), {}))["layers"]
    assert layer["name"] == "neck, layer 2"
    tokens = layer["tokens"]
    assert [token["name"] for token in tokens] == list(names)
    assert [(token["level"], token["index"]) for token in tokens] == [(0, 0), (0, 1), (1, 0)]
    assert [token["isNew"] for token in tokens] == [False, True, True]
    assert tokens[0]["origin"] == [1, 2] and tokens[1]["inside"] == 0.9
    assert len({token["color"] for token in tokens}) == 3
    assert all(re.fullmatch("#[0-9a-f]{6}", token["color"]) for token in tokens)
    assert [one["tokens"] for one in layer["levels"]] == [[0, 1, 2]] * 2
    assert [one["cells"] for one in layer["levels"]] == [[6, 8], [3, 4]]


def test_own_tokens_and_no_projector():
    levels = [level(), level("res4", 16, reads=None, read_names=())]
    (layer,) = data_of(token_page(study(*levels), {}))["layers"]
    assert [one["tokens"] for one in layer["levels"]] == [[0, 1, 2], [3, 4, 5]]
    assert layer["levels"][1]["reads"] is None


def test_pictures_and_classes():
    data = data_of(token_page(study(), {}))
    assert (data["width"], data["height"]) == (64, 48)
    assert data["image"].startswith("data:image/jpeg;base64,/9j/")
    assert data["prediction"]["classes"] == list(CLASSES)
    assert data["prediction"]["labels"]["size"] == [48, 64]


@pytest.mark.parametrize("heads", [1, 16])
def test_a_page_stays_below_5_mb(heads):
    # Noise, which does not compress, at the size of COCO's res2.
    random = np.random.default_rng(0)
    noise = random.random((heads, 8, 200, 304), dtype=np.float32)
    one = level(tokens=8, heads=heads, attention=noise, reads=noise)
    picture = random.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    noisy = dataclasses.replace(
        study(one, dataclasses.replace(one, layer=2), prediction=Prediction(picture)),
        image_rgb=picture,
    )
    for what in (study(one), noisy):
        assert 500_000 < len(token_page(what, {}).encode()) < 5_000_000
