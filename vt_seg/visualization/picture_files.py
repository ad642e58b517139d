"""Write pictures of images: whole files under names of their own, one image after the other."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from vt_seg.drawing import ContactSheets, within_limits
from vt_seg.files import output_names, path_below, write_atomically

Draw = Callable[[], Mapping[str, np.ndarray | bytes]]
"""Draws one image: returns endings of file names with a picture (H, W, 3), or bytes, for each."""

# Errors whose text is a sentence for users; of others the type is told too.
_TELLING = (OSError, ValueError, RuntimeError)


class Drawn(NamedTuple):
    """The files written, overviews apart, and a sentence for each image that could not be drawn."""

    written: list[str]
    failures: list[str]
    overviews: list[str]
    numbered: list[str]  # files that have a number because their name was taken


def draw_each(
    jobs: Sequence[tuple[str, Draw]],
    output_dir: str,
    endings: Sequence[str],
    description: str,
    *,
    overview: bool = False,
    subfolders: Sequence[str] = (),
) -> Drawn:
    """Write ``<output_dir>/<name><ending>`` for each image file and its function that draws it.

    With ``subfolders``, one per image, it is ``<output_dir>/<subfolder>/<name><ending>``.

    Names are those of `output_names`: no file that is there is overwritten. An image that fails
    does not stop the others. With ``overview``, sheets of all pictures are ``overview.png``,
    ``overview_2.png`` if one does not hold them, ...

    Raises:
        OSError: If ``output_dir`` cannot be created, or an overview cannot be written.
    """
    os.makedirs(output_dir, exist_ok=True)
    drawn = Drawn([], [], [], [])
    sheets = ContactSheets(columns=min(2, len(jobs)), width=2400) if overview else None
    names = _names_in_subfolders([path for path, _ in jobs], output_dir, endings, subfolders)
    for (path, draw), name in zip(tqdm(jobs, description, unit="image"), names, strict=True):
        try:
            for ending, content in draw().items():
                file = path_below(output_dir, f"{name}{ending}", path)
                os.makedirs(os.path.dirname(file), exist_ok=True)
                drawn.written.append(write_new(content, file))
                if os.path.splitext(os.path.basename(path))[0] != os.path.basename(name):
                    drawn.numbered.append(file)
                if sheets is not None and isinstance(content, np.ndarray):
                    drawn.overviews.extend(_write_overviews(sheets.add(content), output_dir))
        except Exception as error:  # Whatever one image causes, the others are drawn.
            reason = " ".join(str(error).split())
            if not isinstance(error, _TELLING) or not reason:
                reason = f"{type(error).__name__} {reason}".strip()
            drawn.failures.append(reason if path in reason else f"{path}: {reason}")
    if sheets is not None:
        drawn.overviews.extend(_write_overviews(sheets.finish(), output_dir))
    return drawn


def _names_in_subfolders(
    paths: Sequence[str], output_dir: str, endings: Sequence[str], subfolders: Sequence[str]
) -> list[str]:
    """Return names relative to ``output_dir`` that are free and different in each subfolder."""
    subfolders = subfolders or [""] * len(paths)
    names = [""] * len(paths)
    for subfolder in dict.fromkeys(subfolders):
        numbers = [number for number, other in enumerate(subfolders) if other == subfolder]
        folder = os.path.join(output_dir, subfolder)
        found = output_names([paths[number] for number in numbers], folder, endings)
        for number, name in zip(numbers, found, strict=True):
            names[number] = os.path.join(subfolder, name)
    return names


def _write_overviews(sheets: Sequence[np.ndarray], output_dir: str) -> list[str]:
    paths = []
    for sheet in sheets:
        (name,) = output_names(["overview"], output_dir, [".png"])
        paths.append(write_new(sheet, os.path.join(output_dir, f"{name}.png")))
    return paths


def describe_drawn(drawn: Drawn, what: str, output_dir: str) -> str:
    """Return how many files were written, where their overviews are, and which are numbered."""
    text = f"{len(drawn.written)} {what} in {output_dir}"
    if drawn.overviews:
        text += f", all in {', '.join(drawn.overviews)}"
    if drawn.numbered:
        text += f"\n{len(drawn.numbered)} names were taken or too long, e.g. {drawn.numbered[0]}"
    return text


def require_all_drawn(drawn: Drawn, num_images: int, failures: Sequence[str] = ()) -> None:
    """Raise ValueError, with a line for each image that was not drawn, if there is one.

    ``failures`` are sentences on inputs that gave no image.
    """
    lines = [*failures, *drawn.failures]
    if lines:
        text = "\n".join(f"  {sentence}" for sentence in lines)
        raise ValueError(f"{len(lines)} of {num_images + len(failures)} not drawn:\n{text}")


def write_new(content: np.ndarray | bytes, path: str) -> str:
    """Write bytes, or a picture ``(H, W, 3)``, uint8, RGB, whole or not at all; return ``path``.

    A picture with more pixels than files of pictures may have is shrunk.

    Raises:
        FileExistsError: If there is a file of this name.
        OSError: If it cannot be written.
    """
    if isinstance(content, np.ndarray):
        picture = np.ascontiguousarray(within_limits(content)[:, :, ::-1])
        done, code = cv2.imencode(os.path.splitext(path)[1], picture)
        if not done:
            raise OSError(f"OpenCV could not encode {path}")
        content = code.tobytes()
    write_atomically(path, content, overwrite=False)
    return path
