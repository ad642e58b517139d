"""The tokens of image files, as pictures and pages in a folder."""

import os
from collections.abc import Callable, Sequence

from detectron2.data import Metadata
from torch import nn

from vt_seg.files.atomic_writer import write_atomically

from ..draw_each import Drawn, draw_each
from ..picture_files import write_picture
from .figure import token_figure
from .maps import capture_tokens
from .page import token_page
from .study import study_tokens


def draw_tokens(
    paths: Sequence[str],
    model: nn.Module,
    read_record: Callable[[str], dict],
    metadata: Metadata,
    output_dir: str,
    *,
    image_format: str,
    config: str,
    weights: str,
) -> Drawn:
    """Write ``<output_dir>/<name>_tokens.png`` and ``.html`` for every image file; see `draw_each`.

    Args:
        paths: of the images.
        model: in evaluation mode; see :func:`study_tokens`.
        read_record: the test mapper, from a path to a record with ``image``.
        metadata: of the dataset that the model was trained for.
        output_dir: is created.
        image_format: ``INPUT.FORMAT``.
        config, weights: names of the files, for the page.

    Raises:
        ValueError: if the model has no VT layer.
        OSError: if ``output_dir`` cannot be created.
    """
    with capture_tokens(model):
        pass  # A model without tokens is refused once, not for every image.

    def draw(path: str, stem: str) -> list[str]:
        record = read_record(path)
        study = study_tokens(
            model,
            record,
            name=os.path.basename(path),
            image_format=image_format,
            metadata=metadata,
        )
        height, width = study.image_rgb.shape[:2]
        seen = f"{width}×{height}"
        if "warp" in record:
            seen += ", a canvas that the image lies on"
        elif (record["width"], record["height"]) != (width, height):
            seen += f", made from {record['width']}×{record['height']}"
        facts = {"Config": config, "Weights": weights, "What the network sees": seen}
        page = token_page(study, facts).encode()
        picture = write_picture(token_figure(study), f"{stem}.png")
        write_atomically(f"{stem}.html", page)
        return [picture, f"{stem}.html"]

    return draw_each(paths, draw, output_dir, "_tokens", "tokens")
