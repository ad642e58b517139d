#!/usr/bin/env python
"""Kill a small training many times with SIGKILL and compare it with an undisturbed one.

    python research/kill_loop.py                 # 20 kills, a few minutes on one core
    python research/kill_loop.py --kills 3 --iterations 8 --workers 0

VT-FPN is trained with flips, random sizes, batches grouped by aspect ratio, stochastic depth, EMA
and a checkpoint at every iteration. After each kill the newest complete checkpoint is compared with
that of the undisturbed run after as many iterations, and at the end the final ones: weights,
momentum, average, schedule, random states and order, bit for bit. Every batch is compared, too:
names, pixels, labels and learning rate.

The exit code is 1 if anything differs.
"""

import argparse
import hashlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `vt_seg`

from vt_seg.checkpoint import CheckpointError, read_checkpoint
from vt_seg.engine import Trainer, load_cfg

SIZES = ((48, 64), (64, 48), (56, 56), (40, 72))
"""(height, width) of the images, in both orientations and square."""

FINAL = ("model_final.pth", "model_final_ema.pth")

OVERRIDES = [
    *("INPUT.MIN_SIZE_TRAIN", "(48, 56, 64)", "SOLVER.IMS_PER_BATCH", "4"),
    *("SOLVER.WARMUP_ITERS", "4", "SOLVER.REFERENCE_WORLD_SIZE", "0", "SEED", "1"),
    *("SOLVER.CHECKPOINT_PERIOD", "1", "SOLVER.EMA.ENABLED", "True", "MODEL.DEVICE", "cpu"),
    *("MODEL.RESNETS.DEPTH", "50", "MODEL.RESNETS.STEM_OUT_CHANNELS", "8"),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", "16", "MODEL.RESNETS.WIDTH_PER_GROUP", "4"),
    *("MODEL.BACKBONE.STOCHASTIC_DEPTH", "0.2", "MODEL.FPN.OUT_CHANNELS", "32"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "32", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "4"),
    *("MODEL.VT_FPN.TOKEN_CHANNELS", "64", "MODEL.VT_FPN.NUM_TOKENS", "4"),
    *("MODEL.VT_FPN.NORM", "BN"),
    *("DATASETS.TEST", "()", "DATALOADER.ASPECT_RATIO_GROUPING", "True"),
]


def write_images(folder: Path, count: int = 14) -> None:
    """Write random images and masks of 4 classes as PNGs, in sizes of both orientations."""
    generator = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        image = generator.integers(0, 256, (height, width, 3), np.uint8)
        mask = generator.integers(0, 4, (height, width), np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


def make_cfg(root: Path, iterations: int, workers: int) -> CfgNode:
    """Return the config of the training on the images in ``root``."""
    config = Path(__file__).parents[1] / "configs" / "vtfpn_R18_scenes.yaml"
    dataset = {
        "NAME": "kill_loop",
        "IMAGES": str(root / "images"),
        "MASKS": str(root / "masks"),
        "CLASSES": ["a", "b", "c", "d"],
    }
    numbers = ["SOLVER.MAX_ITER", str(iterations), "DATALOADER.NUM_WORKERS", str(workers)]
    custom = ["DATASETS.CUSTOM", str([dataset]), "DATASETS.TRAIN", '("kill_loop",)']
    return load_cfg(str(config), OVERRIDES + numbers + custom)


class RecordingTrainer(Trainer):
    """Trainer that records every batch in ``batches.txt`` before it trains on it."""

    def run_step(self) -> None:
        """Train on a batch and record it with its learning rate."""
        line = {}
        handle = self.model.register_forward_pre_hook(
            lambda _, args: line.update(digest=digest_of_batch(args[0]))
        )
        rate = self.optimizer.param_groups[0]["lr"]
        super().run_step()
        handle.remove()
        with open(Path(self.cfg.OUTPUT_DIR) / "batches.txt", "a") as file:
            file.write(f"{self.iter} {line['digest']} {rate!r}\n")


def digest_of_batch(batch: list[dict]) -> str:
    """Return a digest of a batch's names, images and labels."""
    digest = hashlib.sha256()
    for record in batch:
        digest.update(os.path.basename(record["file_name"]).encode())
        digest.update(record["image"].numpy().tobytes())
        digest.update(record["sem_seg"].numpy().tobytes())
    return digest.hexdigest()[:16]


def train(cfg: CfgNode, folder: Path) -> None:
    """Train in ``folder``, resuming from its newest complete checkpoint, in a process."""
    folder.mkdir(exist_ok=True)
    output = os.open(folder / "stdout.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    cfg.OUTPUT_DIR = str(folder)
    seed_all_rng(cfg.SEED)
    trainer = RecordingTrainer(cfg)
    trainer.resume_or_load(resume=True)
    trainer.train()


def newest_whole(folder: Path) -> tuple[str, dict[str, Any] | None]:
    """Return name and content of the newest complete checkpoint."""
    for path in sorted(folder.glob("model_0*.pth"), reverse=True):
        try:
            return path.name, read_checkpoint(str(path))
        except CheckpointError:
            continue
    return "", None


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Return the names of all values of two checkpoints that differ in any bit."""
    if type(one) is not type(other):
        return [name]
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return [] if same and one.numpy().tobytes() == other.numpy().tobytes() else [name]
    if isinstance(one, dict):
        keys = [f"{name}.{key}" for key in one.keys() ^ other.keys()]
        shared = [key for key in one if key in other]
        return keys + [d for k in shared for d in differences(one[k], other[k], f"{name}.{k}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [name]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{name}.{i}")]
    return [] if one == other or (one != one and other != other) else [name]


def number_of_values(content: Any) -> int:
    """Return the number of tensors and other values of a checkpoint, which are all compared."""
    if isinstance(content, dict):
        return sum(map(number_of_values, content.values()))
    if isinstance(content, list | tuple):
        return sum(map(number_of_values, content))
    return 1


def recorded(folder: Path) -> dict[int, set[str]]:
    """Return the records of each iteration's batch, without a line that was cut off."""
    found: dict[int, set[str]] = {}
    path = folder / "batches.txt"
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        if line.endswith("\n"):
            iteration, _, rest = line.partition(" ")
            found.setdefault(int(iteration), set()).add(rest)
    return found


def differences_of_batches(folder: Path, reference: Path) -> list[str]:
    """Return the batches of a run that differ from those of the undisturbed one."""
    expected = recorded(reference)
    return [f"batch {i}" for i, lines in recorded(folder).items() if lines != expected[i]]


def differences_of_runs(folder: Path, reference: Path) -> list[str]:
    """Return what differs between a finished run that was killed and the undisturbed one."""
    wrong = differences_of_batches(folder, reference)
    for name in FINAL:
        one, other = (read_checkpoint(str(run / name)) for run in (folder, reference))
        wrong += differences(one, other, name)
    return wrong + ["batches"] * (recorded(folder).keys() != recorded(reference).keys())


def start_training(cfg: CfgNode, folder: Path) -> multiprocessing.Process:
    """Start a training in a process of its own, or resume it."""
    process = multiprocessing.get_context("fork").Process(target=train, args=(cfg, folder))
    process.start()
    return process


def check_succeeded(process: multiprocessing.Process, folder: Path) -> None:
    """Raise RuntimeError with the end of the training's output if it failed."""
    if process.exitcode:
        raise RuntimeError((folder / "stdout.txt").read_text()[-2000:])


def train_undisturbed(cfg: CfgNode, folder: Path, iterations: int) -> tuple[float, float]:
    """Train without kills; return the seconds before the first iteration and of each."""
    start = time.monotonic()
    process = start_training(cfg, folder)
    while not (folder / "batches.txt").exists() and process.is_alive():
        time.sleep(0.01)
    first = time.monotonic() - start
    process.join()
    check_succeeded(process, folder)
    return first, (time.monotonic() - start - first) / iterations


def check_killed(killed: Path, reference: Path) -> tuple[str, list[str]]:
    """Return the checkpoint that a killed run resumes from, and what differs so far."""
    name, content = newest_whole(killed)
    expected = content and read_checkpoint(str(reference / name))
    wrong = differences(content, expected) + differences_of_batches(killed, reference)
    return name or "the beginning", wrong


def main(args: argparse.Namespace, root: Path) -> bool:
    """Kill and compare; return True if nothing differs."""
    write_images(root)
    cfg = make_cfg(root, args.iterations, args.workers)
    reference = root / "undisturbed"
    first, each = train_undisturbed(cfg, reference, args.iterations)
    print(f"undisturbed: first iteration after {first:.2f} s, {each:.3f} s each\n")

    moments = random.Random(args.seed)
    good = kills = runs = 0
    at_the_end: list[str] = []
    while True:
        killed = root / f"killed_{runs}"
        process = start_training(cfg, killed)
        wait = moments.uniform(0.1, first + 2 * args.iterations / args.kills * each)
        process.join(wait if kills < args.kills else None)
        if process.exitcode is not None:
            check_succeeded(process, killed)
            at_the_end += differences_of_runs(killed, reference)
            runs += 1
            if kills == args.kills:
                break
            continue  # The run ended before the last kill, so another one is started.
        process.kill()
        process.join()
        kills += 1
        resumes_from, wrong = check_killed(killed, reference)
        unfinished = sum(1 for path in killed.glob(".*.unfinished"))
        good += not wrong
        print(
            f"kill {kills} after {wait:.2f} s: resumes from {resumes_from}, "
            f"{unfinished} unfinished files, {len(recorded(killed))} of {args.iterations} batches, "
            + (f"DIFFERENT: {', '.join(wrong[:3])}" if wrong else "all equal"),
            flush=True,
        )

    values = sum(number_of_values(read_checkpoint(str(reference / name))) for name in FINAL)
    print(f"\nAfter {good} of {kills} kills everything was equal. At the end of {runs} run(s)")
    print(f"{len(at_the_end)} of {values} values differ {at_the_end[:3] or ''}".rstrip() + ".")
    print(f"{args.workers} workers, PyTorch {torch.__version__.partition('+')[0]}, CPU")
    return good == kills and not at_the_end


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="number of kills (default: 20)")
    parser.add_argument(
        "--iterations", type=int, default=60, help="iterations of the training (default: 60)"
    )
    parser.add_argument("--workers", type=int, default=2, help="loader processes (default: 2)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the moments of the kills (default: 0)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(0 if main(parse_args(), Path(temporary)) else 1)
