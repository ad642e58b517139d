#!/usr/bin/env python
"""Kill a tiny training many times with SIGKILL; compare what it becomes with an undisturbed one.

    python research/kill_loop.py                 # 20 kills, a few minutes on one core
    python research/kill_loop.py --kills 3 --iterations 8 --workers 0

VT-FPN with flips, random sizes, batches grouped by aspect ratio, stochastic depth, EMA and a
checkpoint at every iteration. After each kill the newest whole checkpoint is compared with that of
the undisturbed run after as many iterations, and at the end the final ones: weights, momentum,
average, schedule, random states and order, bit for bit. Every batch that either run sees is
compared, too: names, pixels, labels, and the learning rate it was trained with.

Exits with 1 if anything differs.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `research` is

import vt_seg  # noqa: F401  (first, as it quiets Detectron2)

# isort: split
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from PIL import Image

from vt_seg.checkpoint import CheckpointError, read_checkpoint
from vt_seg.engine import Trainer, load_cfg

SIZES = ((48, 64), (64, 48), (56, 56), (40, 72))
"""(height, width): landscapes and others."""

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
    """Appends a line to ``batches.txt`` for every batch before it is trained on."""

    def run_step(self) -> None:
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
    digest = hashlib.sha256()
    for record in batch:
        digest.update(os.path.basename(record["file_name"]).encode())
        digest.update(record["image"].numpy().tobytes())
        digest.update(record["sem_seg"].numpy().tobytes())
    return digest.hexdigest()[:16]


def train(cfg: CfgNode, folder: Path) -> None:
    """Train in ``folder``, going on from its newest whole checkpoint; runs in its own process."""
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
    """Return name and content of the checkpoint that the next attempt is to go on from."""
    for path in sorted(folder.glob("model_0*.pth"), reverse=True):
        try:
            return path.name, read_checkpoint(str(path))
        except CheckpointError:
            continue
    return "", None


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Return the names of all values of two checkpoints that are not the same, bit for bit."""
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
    """Return how many tensors and other values a checkpoint has, which are all compared."""
    if isinstance(content, dict):
        return sum(map(number_of_values, content.values()))
    if isinstance(content, list | tuple):
        return sum(map(number_of_values, content))
    return 1


def recorded(folder: Path) -> dict[int, set[str]]:
    """Return what was recorded of each iteration's batch; a line that was cut off is left out."""
    found: dict[int, set[str]] = {}
    path = folder / "batches.txt"
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        if line.endswith("\n"):
            iteration, _, rest = line.partition(" ")
            found.setdefault(int(iteration), set()).add(rest)
    return found


def differences_of_batches(folder: Path, reference: Path) -> list[str]:
    expected = recorded(reference)
    return [f"batch {i}" for i, lines in recorded(folder).items() if lines != expected[i]]


def differences_of_runs(folder: Path, reference: Path) -> list[str]:
    """Return what differs between a run that was killed and an undisturbed one at their ends."""
    wrong = differences_of_batches(folder, reference)
    for name in FINAL:
        one, other = (read_checkpoint(str(run / name)) for run in (folder, reference))
        wrong += differences(one, other, name)
    return wrong + ["batches"] * (recorded(folder).keys() != recorded(reference).keys())


def main(args: argparse.Namespace, root: Path) -> bool:
    write_images(root)
    cfg = make_cfg(root, args.iterations, args.workers)
    fork = multiprocessing.get_context("fork")
    reference = root / "undisturbed"

    start = time.monotonic()
    process = fork.Process(target=train, args=(cfg, reference))
    process.start()
    while not (reference / "batches.txt").exists() and process.is_alive():
        time.sleep(0.01)
    first = time.monotonic() - start
    process.join()
    if process.exitcode:
        raise RuntimeError((reference / "stdout.txt").read_text()[-2000:])
    an_iteration = (time.monotonic() - start - first) / args.iterations
    print(f"undisturbed: first iteration after {first:.2f} s, {an_iteration:.3f} s each\n")

    moments = random.Random(args.seed)
    good = kills = runs = 0
    at_the_end: list[str] = []
    print("| kill | after | resumes from | half-written files | batches seen | all equal |")
    print("|---|---|---|---|---|---|")
    while True:
        killed = root / f"killed_{runs}"
        process = fork.Process(target=train, args=(cfg, killed))
        process.start()
        wait = moments.uniform(0.1, first + 2 * args.iterations / args.kills * an_iteration)
        process.join(wait if kills < args.kills else None)
        if process.exitcode is not None:
            if process.exitcode:
                raise RuntimeError((killed / "stdout.txt").read_text()[-2000:])
            at_the_end += differences_of_runs(killed, reference)
            runs += 1
            if kills == args.kills:
                break
            continue  # it ended before the last kill: a new one
        process.kill()
        process.join()
        kills += 1
        name, content = newest_whole(killed)
        expected = content and read_checkpoint(str(reference / name))
        wrong = differences(content, expected) + differences_of_batches(killed, reference)
        half = sum(1 for path in killed.glob(".*.unfinished"))
        good += not wrong
        print(
            f"| {kills} | {wait:.2f} s | {name or 'the beginning'} | {half} "
            f"| {len(recorded(killed))} of {args.iterations} "
            f"| {'yes' if not wrong else 'NO: ' + ', '.join(wrong[:3])} |",
            flush=True,
        )

    values = sum(number_of_values(read_checkpoint(str(reference / name))) for name in FINAL)
    print(f"\n{good} of {kills} kills; at the end of {runs} run(s) {len(at_the_end)} of {values}")
    print(f"values differ {at_the_end[:3] or ''}".rstrip())
    print(f"{args.workers} workers, PyTorch {torch.__version__.partition('+')[0]}, CPU")
    return good == kills and not at_the_end


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=60, help="of the training")
    parser.add_argument("--workers", type=int, default=2, help="of the data loader")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(0 if main(arguments, Path(temporary)) else 1)
