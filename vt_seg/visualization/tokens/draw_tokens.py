"""Draw the tokens of image files, as figures and pages in a folder."""

import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from detectron2.data import Metadata
from torch import nn

from vt_seg.data import ImageReader

from ..picture_files import Drawn, draw_each
from .analysis import analyze_tokens
from .capture import capture_tokens
from .figure import token_figure
from .page import token_page


def draw_tokens(
    paths: Sequence[str],
    model: nn.Module,
    read_record: Callable[[str], dict],
    metadata: Metadata,
    output_dir: str,
    *,
    images: ImageReader,
    config: str,
    weights: str,
) -> Drawn:
    """Write ``<output_dir>/<name>_tokens.png`` and ``.html`` for every image file.

    An image that fails does not stop the others. ``read_record`` is the test mapper, from a path to
    a record with ``image``; ``config`` and ``weights`` are names for the page. For the other
    arguments see `analyze_tokens`.

    Raises:
        ValueError: If the model has no VT layer.
        OSError: If ``output_dir`` cannot be created.
    """
    with capture_tokens(model):
        pass  # A model without tokens is refused once, not for every image.

    def draw(path: str) -> dict[str, np.ndarray | bytes]:
        record = read_record(path)
        name = os.path.basename(path)
        analysis = analyze_tokens(model, record, name=name, images=images, metadata=metadata)
        height, width = analysis.image_rgb.shape[:2]
        seen = _by(width, height)
        if "warp" in record:
            seen += ", a canvas that the image lies on"
        elif (record["width"], record["height"]) != (width, height):
            seen += f", made from {_by(record['width'], record['height'])}"
        facts = {"Config": config, "Weights": weights, "Network input": seen}
        page = token_page(analysis, facts).encode()
        return {"_tokens.png": token_figure(analysis), "_tokens.html": page}

    jobs = [(path, partial(draw, path)) for path in paths]
    return draw_each(jobs, output_dir, ["_tokens.png", "_tokens.html"], "tokens")


def _by(width: int, height: int) -> str:
    return f"{width}\N{MULTIPLICATION SIGN}{height}"
