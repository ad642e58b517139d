"""Analyses of synthetic maps, for tests of what is drawn from them."""

import numpy as np

from vt_seg.visualization.tokens import LevelMaps, Prediction, TokenAnalysis
from vt_seg.visualization.tokens.capture import token_names

SIZE = (48, 64)  # of the image: strides 8 and 16 give 6 x 8 and 3 x 4 cells
CLASSES = ("sea", "sand", "sky")


def level(name="res3", stride=8, *, layer=1, tokens=3, heads=4, seed=0, **more) -> LevelMaps:
    """Return random maps of one level."""
    random = np.random.default_rng(seed)
    cells = tuple(-(-side // stride) for side in SIZE)
    attention = random.random((heads, tokens, *cells)) ** 3
    attention *= cells[0] * cells[1] / attention.sum((-2, -1), keepdims=True)
    reads = random.random((heads, tokens, *cells)) ** 2
    names = token_names(name, tokens)
    arguments = {
        "stack": "neck",
        "layer": layer,
        "level": name,
        "names": names,
        "origins": tuple((layer, number) for number in range(1, tokens + 1)),
        "attention": attention.astype(np.float32),
        "inside": np.ones(tokens),
        "reads": (reads / reads.sum(1, keepdims=True)).astype(np.float32),
        "read_names": names,
        "covered": tuple(n * stride for n in cells),
    }
    return LevelMaps(**{**arguments, **more})


def analysis(*maps: LevelMaps, prediction: Prediction | None = None, name="a.jpg"):
    """Analyse an image that gets redder to the right; columns are sea, sand and sky."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[..., 0] = np.linspace(40, 220, SIZE[1])
    labels = np.repeat(np.arange(SIZE[1])[None] * 3 // SIZE[1], SIZE[0], axis=0)
    prediction = prediction or Prediction(255 - image, labels, CLASSES)
    return TokenAnalysis(name, image, prediction, maps or (level(),))
