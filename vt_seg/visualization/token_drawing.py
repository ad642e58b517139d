"""The tokens of image files, as pictures and pages in a folder."""

import os
from collections.abc import Callable, Sequence

from detectron2.data import Metadata
from torch import nn
from tqdm import tqdm

from vt_seg.data.atomic_files import write_atomically
from vt_seg.data.paths_below import path_below

from .picture_files import unique_names, write_picture
from .token_figure import token_figure
from .token_page import token_page
from .token_study import study_tokens


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
) -> list[str]:
    """Write ``<output_dir>/<name>_tokens.png`` and ``.html`` for every image file.

    Args:
        paths: of the images.
        model: in evaluation mode; see :func:`study_tokens`.
        read_record: the test mapper, from a path to a record with ``image``.
        metadata: of the dataset that the model was trained for.
        output_dir: is created.
        image_format: ``INPUT.FORMAT``.
        config, weights: names of the files, for the page.

    Returns:
        the files written.

    Raises:
        ValueError: see :func:`study_tokens`.
    """
    os.makedirs(output_dir, exist_ok=True)
    written = []
    names = unique_names(paths)
    for path, name in zip(tqdm(paths, desc="tokens", unit="image"), names, strict=True):
        record = read_record(path)
        study = study_tokens(
            model,
            record,
            name=os.path.basename(path),
            image_format=image_format,
            metadata=metadata,
        )
        stem = path_below(output_dir, f"{name}_tokens", path)
        written.append(write_picture(token_figure(study), f"{stem}.png"))
        height, width = study.image_rgb.shape[:2]
        seen = f"{width}×{height}"
        if "warp" in record:
            seen += ", a canvas that the image lies on"
        elif (record["width"], record["height"]) != (width, height):
            seen += f", made from {record['width']}×{record['height']}"
        facts = {"Config": config, "Weights": weights, "What the network sees": seen}
        write_atomically(f"{stem}.html", token_page(study, facts).encode())
        written.append(f"{stem}.html")
    return written
