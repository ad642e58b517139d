"""Trainings in processes of their own: configs x seeds, resumable, several at a time."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode
from tqdm import tqdm

from vt_seg.command_line import positive_int
from vt_seg.config_file import flat_keys
from vt_seg.engine import load_cfg, tasks
from vt_seg.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
TRAIN_NET = ROOT / "tools" / "train_net.py"
SETTINGS_FILE = "sweep_run.json"


@dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        config_file: Path of the config.
        seed: ``SEED``.
        output_dir: ``OUTPUT_DIR``; the process's output is written to ``stdout.txt`` in it.
        overrides: Further config overrides, ``KEY VALUE ...``.
        task: Name of the evaluation in ``metrics.json``: "sem_seg", "classification",
            "sem_seg_EMA", ...
    """

    config_file: str
    seed: int
    output_dir: str
    overrides: tuple[str, ...] = ()
    task: str = "sem_seg"

    def scores(self) -> dict[str, float]:
        """Return the scores of its last evaluation, see :func:`last_scores`."""
        return last_scores(self.output_dir, self.task)


def add_sweep_arguments(parser: argparse.ArgumentParser, *, output: str, table: str) -> None:
    """Add the flags of a script that trains a sweep; ``output`` and ``table`` are defaults."""
    parser.add_argument(
        "--output",
        default=output,
        metavar="DIR",
        help=f"folder of the runs (default: {output})",
    )
    parser.add_argument(
        "--table",
        default=table,
        metavar="FILE",
        help=f"document whose tables are filled (default: {table})",
    )
    parser.add_argument(
        "--parallel", type=positive_int, default=1, help="trainings at a time (default: 1)"
    )
    parser.add_argument(
        "--threads", type=positive_int, default=2, help="CPU threads per training (default: 2)"
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="config overrides: KEY VALUE ..."
    )


def task_of(cfg: CfgNode) -> str:
    """Return the evaluation's name in ``metrics.json``; of several datasets, on the first."""
    task = tasks.task_of(cfg).name
    return task if len(cfg.DATASETS.TEST) == 1 else f"{cfg.DATASETS.TEST[0]}/{task}"


def budget_overrides(cfg: CfgNode, iterations: int) -> list[str]:
    """Return overrides that train for ``iterations`` and evaluate once, at the end.

    Warm-up, steps and checkpoints come after the same shares of the training as in ``cfg``.

    Raises:
        ValueError: if ``iterations`` is below 1, or too small for one between decays of the
            learning rate.
    """
    if iterations < 1:
        raise ValueError(f"{iterations} iterations: at least 1 is needed")
    solver = cfg.SOLVER
    share = iterations / solver.MAX_ITER
    values = {
        "SOLVER.MAX_ITER": iterations,
        "SOLVER.WARMUP_ITERS": round(solver.WARMUP_ITERS * share),
        "SOLVER.STEPS": tuple(sorted({max(1, round(step * share)) for step in solver.STEPS})),
        "SOLVER.CHECKPOINT_PERIOD": max(1, round(solver.CHECKPOINT_PERIOD * share)),
        "TEST.EVAL_PERIOD": 0,
    }
    if solver.EXPONENTIAL_LR_PERIOD:
        period = round(solver.EXPONENTIAL_LR_PERIOD * share)
        if period < 1 and solver.LR_SCHEDULER_NAME == "WarmupExponentialLR":
            raise ValueError(
                f"{iterations} iterations are too few for SOLVER.EXPONENTIAL_LR_PERIOD "
                f"{solver.EXPONENTIAL_LR_PERIOD} of {solver.MAX_ITER}: it would be below one; take "
                f"at least {-(-solver.MAX_ITER // solver.EXPONENTIAL_LR_PERIOD)}"
            )
        values["SOLVER.EXPONENTIAL_LR_PERIOD"] = max(1, period)
    return [str(text) for pair in values.items() for text in pair]


def train_all(
    runs: Sequence[Run],
    parallel: int = 1,
    threads: int = 1,
    on_finished: Callable[[Run], None] | None = None,
) -> None:
    """Train every run that is not finished; unfinished ones resume from their last checkpoint.

    Args:
        runs: The runs.
        parallel: Number of processes at a time.
        threads: CPU threads of each process.
        on_finished: Function called with each run that has finished, in any of several threads.

    Raises:
        ValueError: if a folder has a run of other settings; nothing was trained.
        RuntimeError: if runs failed. The message names their logs. The others are finished first.
    """
    settings = {run: _settings(run) for run in runs}
    for run in runs:
        _check_same_settings(run, settings[run])
    unfinished = [run for run in runs if not is_finished(run.output_dir, run.task)]
    with ThreadPoolExecutor(parallel) as pool, tqdm(total=len(runs), unit="run") as bar:
        bar.update(len(runs) - len(unfinished))

        def train(run: Run) -> str | None:
            os.makedirs(run.output_dir, exist_ok=True)
            text = json.dumps(settings[run], indent=1)
            write_atomically(os.path.join(run.output_dir, SETTINGS_FILE), text.encode())
            failed = _train(run, threads)
            if on_finished is not None and not failed:
                on_finished(run)
            bar.update()
            return failed

        failed = [log for log in pool.map(train, unfinished) if log]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(runs)} runs failed; see {', '.join(failed)}")


def _train(run: Run, threads: int) -> str | None:
    """Train one run in a process; return the path of its log if it failed."""
    log = os.path.join(run.output_dir, "stdout.txt")
    command = [sys.executable, str(TRAIN_NET), "--config-file", run.config_file, "--resume"]
    command += ["SEED", str(run.seed), "OUTPUT_DIR", run.output_dir, *run.overrides]
    # The process imports the vt_seg of this checkout, whichever is installed.
    path = os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")]))
    with open(log, "a") as out:
        code = subprocess.run(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)},
        ).returncode
    return log if code or not is_finished(run.output_dir, run.task) else None


def _settings(run: Run) -> dict[str, Any]:
    """Return every key of a run's config and its value as text."""
    return _texts(load_cfg(run.config_file, ["SEED", str(run.seed), *run.overrides]))


def _texts(cfg: CfgNode) -> dict[str, str]:
    values = flat_keys(yaml.safe_load(cfg.dump()))
    return {key: str(value) for key, value in values if key != "OUTPUT_DIR"}


def _check_same_settings(run: Run, now: dict[str, Any]) -> None:
    """Raise ValueError if the folder has a run of another config or budget.

    Keys that did not exist when it was trained had their defaults.
    """
    path = os.path.join(run.output_dir, SETTINGS_FILE)
    if not os.path.exists(path):
        return
    with open(path) as file:
        before = json.load(file)
    if optimizer := before.pop("SOLVER.OPTIMIZER", ""):  # an older file's name of the key
        before["SOLVER.VT_OPTIMIZER"] = optimizer
    before = {**_texts(load_cfg("")), **before}
    differing = [
        f"{key} was {before[key]} and is {now[key]}" for key in now if before[key] != now[key]
    ]
    if differing:
        raise ValueError(
            f"{run.output_dir} has a run of other settings: {'; '.join(differing[:5])}. Use "
            "another output folder, or delete this one to train it anew"
        )


def is_finished(output_dir: str, task: str = "sem_seg") -> bool:
    """Return True if a training in this folder reached its end, evaluation included."""
    lines = _metrics(output_dir)
    return os.path.exists(os.path.join(output_dir, "model_final.pth")) and any(
        line["iteration"] > _last_trained(lines) for line in lines if _scores(line, task)
    )


def last_scores(output_dir: str, task: str = "sem_seg") -> dict[str, float]:
    """Return the last evaluation, ``{"mIoU": ..., "IoU-sky": ...}`` in percent, or {}."""
    evaluations = list(scores_by_iteration(output_dir, task).values())
    return evaluations[-1] if evaluations else {}


def scores_by_iteration(output_dir: str, task: str = "sem_seg") -> dict[int, dict[str, float]]:
    """Return every evaluation in ``metrics.json`` by the number of iterations before it.

    Detectron2 logs the evaluation after training under the next iteration's number.

    Args:
        output_dir: Folder of the training.
        task: Prefix of the scores' names, as in ``sem_seg/mIoU``.
    """
    lines = _metrics(output_dir)
    last_trained = _last_trained(lines)
    found = ((min(line["iteration"], last_trained) + 1, _scores(line, task)) for line in lines)
    return {iteration: scores for iteration, scores in found if scores}


def _metrics(output_dir: str) -> list[dict[str, float]]:
    path = os.path.join(output_dir, "metrics.json")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


def _last_trained(lines: list[dict[str, float]]) -> int:
    return max((line["iteration"] for line in lines if "total_loss" in line), default=-1)


def _scores(line: dict[str, float], task: str) -> dict[str, float]:
    prefix = f"{task}/"
    return {k.removeprefix(prefix): v for k, v in line.items() if k.startswith(prefix)}
