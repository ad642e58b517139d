"""Conversions on several processes: missing masks are made, or existing ones are checked."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.process_pool import process_pool
from vt_seg.data import read_mask
from vt_seg.files import (
    check_names_below,
    one_at_a_time,
    remove_unfinished,
    require_regular_file,
    write_atomically,
)

from .conversion import Conversion, Task
from .manifest import claim_output, manifest_difference

MAX_ERRORS = 20
"""A conversion stops after that many files with errors: all of them are probably wrong."""

_CHUNK = 16  # Files that a worker takes at a time.
_MIN_FILES = 100  # Files per worker; for fewer, starting it takes longer than the work.

# Run-length encoded without a filter, masks are smaller than by default (a filter and deflate's
# full search), and take half the time to write and read. Old versions of OpenCV lack the flag.
_PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Outcome(NamedTuple):
    """The outcome of a conversion.

    Attributes:
        done: Number of masks made, or found correct.
        kept: Number of masks that existed already.
        errors: A message for each file with an error; nothing was written for it.
        seconds: Seconds of work.
        startup: Seconds before the work, in which worker processes were started.
    """

    done: int
    kept: int
    errors: list[str]
    seconds: float
    startup: float = 0.0

    @property
    def rate(self) -> float:
        """Return the images per second."""
        return self.done / self.seconds if self.done else 0.0


def convert(conversion: Conversion, workers: int = 1) -> Outcome:
    """Make the masks that are missing or older than their sources.

    A mask that exists is complete, so a run may be stopped in any way and started again. Sources
    that cannot be used do not prevent the others from being converted, up to ``MAX_ERRORS``.

    Raises:
        MixedOutputError: if the output folder was made differently; nothing was written.
        ValueError: if a name leads out of the output folder; nothing was written.
    """
    output = conversion.output
    _check_names(conversion)
    output.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(output.with_name(f".{output.name}.lock")):
        claim_output(conversion)
        output.mkdir(exist_ok=True)
        remove_unfinished(output)
        present = _masks_in(output)
        tasks = [
            task
            for task in conversion.tasks
            if task.name not in present or _is_older(output / task.name, task.source)
        ]
        for folder in {(output / task.name).parent for task in tasks}:
            folder.mkdir(parents=True, exist_ok=True)
        make = partial(_make, conversion.derive, output)
        kept = len(conversion.tasks) - len(tasks)
        outcome = _run(make, tasks, workers, _title(output), kept, stop_at=MAX_ERRORS)
        remove_unfinished(output)  # Workers may have been stopped.
        if not outcome.errors:
            for path, text in conversion.lists.items():
                write_atomically(path, text.encode())
    return outcome


def check(conversion: Conversion, workers: int = 1) -> Outcome:
    """Derive every mask again and compare it pixel by pixel with the existing one.

    Nothing is written. Missing masks, masks without a source, and a manifest or a list that differs
    are errors, too.

    Raises:
        ValueError: if a name leads out of the output folder.
    """
    _check_names(conversion)
    output, names = conversion.output, {task.name for task in conversion.tasks}
    present = _masks_in(output) if output.is_dir() else set()
    compare = partial(_compare, conversion.derive, output)
    outcome = _run(compare, conversion.tasks, workers, f"check {_title(output)}")
    errors = [
        f"{output / name}: it has no source in {conversion.source}"
        for name in sorted(present - names)
    ]
    difference = manifest_difference(conversion)
    if difference:
        errors.append(f"{output} was made differently by its manifest: {difference}")
    for path, text in conversion.lists.items():
        if not path.exists():
            errors.append(f"{path}: missing")
            continue
        require_regular_file(path)
        if path.read_text(encoding="utf-8") != text:
            errors.append(f"{path}: differs")
    return outcome._replace(errors=sorted(outcome.errors) + errors)


def processes_for(num_files: int, workers: int) -> int:
    """Return the number of processes for that many files: at most ``workers``, at least 1."""
    return max(1, min(workers, -(-num_files // _MIN_FILES)))


def _check_names(conversion: Conversion) -> None:
    """Check names, which come from lists, JSON files and archives of unknown origin."""
    names = (task.name for task in conversion.tasks)
    check_names_below(conversion.output, names, f"the list of files of {conversion.source}")


def _run(
    work: Callable[[Task], str],
    tasks: Sequence[Task],
    workers: int,
    title: str,
    kept: int = 0,
    stop_at: float = float("inf"),
) -> Outcome:
    """Call ``work`` for each task; it returns an error, or "" for none."""
    workers = processes_for(len(tasks), workers)
    errors, done, called = [], 0, time.perf_counter()
    with process_pool(workers, __name__) as pool:
        if pool:
            pool.submit(int).result()  # This returns when a worker has started.
        start = time.perf_counter()
        results = pool.map(work, tasks, chunksize=_CHUNK) if pool else map(work, tasks)
        total = kept + len(tasks)
        for error in tqdm(results, title, total, initial=kept, unit="image", disable=not tasks):
            done += not error
            if error:
                errors.append(error)
            if len(errors) >= stop_at:
                errors.append(f"stopped after {len(errors)} files with errors")
                break
        seconds = time.perf_counter() - start
    return Outcome(done, kept, errors, seconds, start - called)


def _make(derive: Callable[[Task], np.ndarray], output: Path, task: Task) -> str:
    try:
        mask = derive(task)
    except (ValueError, OSError) as error:
        return str(error)
    write_mask(output / task.name, mask)
    return ""


def _compare(derive: Callable[[Task], np.ndarray], output: Path, task: Task) -> str:
    path = output / task.name
    try:
        if not path.exists():
            return f"{path}: missing"
        expected, found = derive(task), read_mask(path)
        if not is_grey_png(path):
            return f"{path}: not an 8-bit grey PNG"
    except (ValueError, OSError) as error:
        return str(error)
    if expected.shape != found.shape:
        (height, width), (wanted_height, wanted_width) = found.shape, expected.shape
        return f"{path}: size {width}x{height}, expected {wanted_width}x{wanted_height}"
    differs = expected != found
    if not differs.any():
        return ""
    row, column = np.argwhere(differs)[0].tolist()
    return (
        f"{path}: {differs.sum()} pixels differ, the first at row {row}, column {column}: "
        f"{found[row, column]}, expected {expected[row, column]} (from {task.source})"
    )


def _masks_in(folder: Path) -> set[str]:
    """Return the names below ``folder`` of its masks; empty files do not count."""
    names = set()
    for parent, _, files in os.walk(folder):
        below = Path(os.path.relpath(parent, folder)).as_posix()
        prefix = "" if below == "." else f"{below}/"
        for name in files:
            if name.endswith(".png") and not name.startswith("."):
                with contextlib.suppress(FileNotFoundError):
                    if os.path.getsize(os.path.join(parent, name)):
                        names.add(prefix + name)
    return names


def _is_older(mask: Path, source: str) -> bool:
    """Return True if a source was changed after its mask was made."""
    with contextlib.suppress(OSError):
        return os.stat(mask).st_mtime_ns < os.stat(source).st_mtime_ns
    return False


def _title(output: Path) -> str:
    return "/".join(output.parts[-2:])


def write_mask(path: str | os.PathLike, mask: np.ndarray) -> None:
    """Write a mask ``(H, W)`` uint8; the file is complete as soon as it has its name."""
    ok, code = cv2.imencode(".png", mask, _PNG)
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {path}")
    write_atomically(path, code.tobytes())


def is_grey_png(path: str | os.PathLike) -> bool:
    """Return True if a file is a PNG with one channel of 8 bits and no palette."""
    with open(path, "rb") as file:
        header = file.read(26)
    return header[:8] == _SIGNATURE and header[24:26] == b"\x08\x00"
