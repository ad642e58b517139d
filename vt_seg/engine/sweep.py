"""Several trainings, each a process of its own: configs x seeds, resumable, side by side."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

TRAIN_NET = Path(__file__).resolve().parents[2] / "tools" / "train_net.py"


@dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        config_file: its config.
        seed: ``SEED``.
        output_dir: ``OUTPUT_DIR``; what the process prints goes to ``stdout.txt`` in it.
        overrides: further ``KEY VALUE`` pairs.
    """

    config_file: str
    seed: int
    output_dir: str
    overrides: tuple[str, ...] = ()


def train_all(runs: Sequence[Run], parallel: int = 1, threads: int = 1) -> None:
    """Train every run that is not finished yet; unfinished ones go on from their last checkpoint.

    Args:
        runs: what to train.
        parallel: how many processes at a time.
        threads: CPU threads of each.

    Raises:
        RuntimeError: runs failed; names their logs. The others are finished first.
    """
    unfinished = [run for run in runs if not is_finished(run.output_dir)]
    with ThreadPoolExecutor(parallel) as pool, tqdm(total=len(runs), unit="run") as bar:
        bar.update(len(runs) - len(unfinished))

        def train(run: Run) -> str | None:
            failed = _train(run, threads)
            bar.update()
            return failed

        failed = [log for log in pool.map(train, unfinished) if log]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(runs)} runs failed; see {', '.join(failed)}")


def _train(run: Run, threads: int) -> str | None:
    """Train one run in a process; the path of its log if it failed."""
    os.makedirs(run.output_dir, exist_ok=True)
    log = os.path.join(run.output_dir, "stdout.txt")
    command = [sys.executable, str(TRAIN_NET), "--config-file", run.config_file, "--resume"]
    command += ["SEED", str(run.seed), "OUTPUT_DIR", run.output_dir, *run.overrides]
    with open(log, "a") as out:
        code = subprocess.run(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        ).returncode
    return log if code or not is_finished(run.output_dir) else None


def is_finished(output_dir: str) -> bool:
    """Whether a training in this folder reached its end, evaluation included."""
    return os.path.exists(os.path.join(output_dir, "model_final.pth")) and bool(
        last_scores(output_dir)
    )


def last_scores(output_dir: str) -> dict[str, float]:
    """The last evaluation of a training: ``{"mIoU": ..., "IoU-sky": ...}`` in percent, or {}."""
    evaluations = list(scores_by_iteration(output_dir).values())
    return evaluations[-1] if evaluations else {}


def scores_by_iteration(output_dir: str) -> dict[int, dict[str, float]]:
    """Every evaluation in ``metrics.json``, by the number of iterations trained before it.

    Detectron2 logs the one after training under the iteration that would have come next.
    """
    path = os.path.join(output_dir, "metrics.json")
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    prefix = "sem_seg/"
    last_trained = max((line["iteration"] for line in lines if "total_loss" in line), default=-1)
    return {
        min(line["iteration"], last_trained) + 1: {
            key.removeprefix(prefix): value for key, value in line.items() if key.startswith(prefix)
        }
        for line in lines
        if f"{prefix}mIoU" in line
    }
