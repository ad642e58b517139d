"""Carries conversions out, over processes: what is missing is made, or what is there is checked."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from vt_seg.files import one_at_a_time, remove_unfinished, write_atomically
from vt_seg.files import check_names_below
from data_prep.process_pool import process_pool
from vt_seg.data import read_mask
from vt_seg.files import require_regular_file
from .conversion import Conversion, Task
from .manifest import claim_output, manifest_difference
from .mask_files import is_grey_png, write_mask

MOST_FAULTS = 20
"""After so many files at fault a conversion stops: something is wrong with all of them."""

_CHUNK = 16  # files a worker takes at a time
_FEWEST = 100  # for a worker: for fewer, starting it takes longer than the work


class Outcome(NamedTuple):
    """What came of a conversion.

    Attributes:
        done: masks made, or checked.
        kept: masks that were there already.
        faults: a message a file at fault; nothing was written for it.
        seconds: of work; ``startup`` seconds before it, worker processes were started.
    """

    done: int
    kept: int
    faults: list[str]
    seconds: float
    startup: float = 0.0

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.done / self.seconds if self.done else 0.0


def convert(conversion: Conversion, workers: int = 1) -> Outcome:
    """Makes the masks that are missing.

    A mask that exists is complete: stop the run in any way and start it again. A source that cannot
    be used does not keep the others from being converted, up to `MOST_FAULTS`.

    Raises:
        MixedOutputError: the output folder was made otherwise; nothing was written.
        ValueError: a name leads out of the output folder; nothing was written.
    """
    output = conversion.output
    _check_names(conversion)
    output.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(output.with_name(f".{output.name}.lock")):
        claim_output(conversion)
        output.mkdir(exist_ok=True)
        remove_unfinished(output)
        present = _masks_in(output)
        tasks = [task for task in conversion.tasks if task.name not in present]
        for folder in {(output / task.name).parent for task in tasks}:
            folder.mkdir(parents=True, exist_ok=True)
        make = partial(_make, conversion.derive, output)
        kept = len(conversion.tasks) - len(tasks)
        outcome = _run(make, tasks, workers, _title(output), kept, stop_at=MOST_FAULTS)
        remove_unfinished(output)  # of workers that were stopped
        if not outcome.faults:
            for path, text in conversion.lists.items():
                write_atomically(path, text.encode())
    return outcome


def check(conversion: Conversion, workers: int = 1) -> Outcome:
    """Derives every mask again and compares it, pixel by pixel, with the one that is there.

    Nothing is written. Masks that are missing, that have no source, and a manifest or a list that
    says otherwise are faults too.

    Raises:
        ValueError: a name leads out of the output folder.
    """
    _check_names(conversion)
    output, names = conversion.output, {task.name for task in conversion.tasks}
    present = _masks_in(output) if output.is_dir() else set()
    compare = partial(_compare, conversion.derive, output)
    outcome = _run(compare, conversion.tasks, workers, f"check {_title(output)}")
    faults = [f"{output / name}: no source for it in {conversion.source}"
              for name in sorted(present - names)]  # fmt: skip
    difference = manifest_difference(conversion)
    if difference:
        faults.append(f"{output} was made otherwise, says its manifest: {difference}")
    for path, text in conversion.lists.items():
        if not path.exists():
            faults.append(f"{path}: missing")
            continue
        require_regular_file(path)
        if path.read_text(encoding="utf-8") != text:
            faults.append(f"{path}: differs")
    return outcome._replace(faults=sorted(outcome.faults) + faults)


def processes_for(num_files: int, workers: int) -> int:
    """How many processes work on so many files, of the ``workers`` asked for; at least 1."""
    return max(1, min(workers, -(-num_files // _FEWEST)))


def _check_names(conversion: Conversion) -> None:
    """Names come from lists, JSON files and archives, of which nobody knows who wrote them."""
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
    """Calls ``work`` for each task; what it returns other than "" is a fault."""
    workers = processes_for(len(tasks), workers)
    faults, done, called = [], 0, time.perf_counter()
    with process_pool(workers, __name__) as pool:
        if pool:
            pool.submit(int).result()  # returns when a worker is there
        start = time.perf_counter()
        results = pool.map(work, tasks, chunksize=_CHUNK) if pool else map(work, tasks)
        total = kept + len(tasks)
        for fault in tqdm(results, title, total, initial=kept, unit="image", disable=not tasks):
            done += not fault
            if fault:
                faults.append(fault)
            if len(faults) >= stop_at:
                faults.append(f"stopped after {len(faults)} files at fault")
                break
        seconds = time.perf_counter() - start
    return Outcome(done, kept, faults, seconds, start - called)


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
        return f"{path}: size {width}×{height}, need {wanted_width}×{wanted_height}"
    differs = expected != found
    if not differs.any():
        return ""
    row, column = np.argwhere(differs)[0].tolist()
    return (
        f"{path}: {differs.sum()} pixels differ, the first at row {row}, column {column}: "
        f"{found[row, column]}, need {expected[row, column]} (from {task.source})"
    )


def _masks_in(folder: Path) -> set[str]:
    """Names below ``folder`` of the masks in it; an empty file is none."""
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


def _title(output: Path) -> str:
    return "/".join(output.parts[-2:])
