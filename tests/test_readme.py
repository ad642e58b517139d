"""The walk-through "Your own data" of README.md, run word for word on a small dataset."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .data.image_files import write_png

ROOT = Path(__file__).parents[1]
COLORS = np.array([(90, 60, 30), (40, 160, 60), (30, 60, 200)], np.uint8)


def walk_through():
    """The commands in their order and the config, as README.md has them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## Your own data\n(.*?)^## ", text, re.S | re.M).group(1)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.S | re.M)
    (config,) = (body for kind, body in blocks if kind == "yaml")
    (name,) = set(re.findall(r"--config-file (\S+)", section))
    assert f"`{name}`" in section
    commands = [line for kind, body in blocks if not kind for line in body.splitlines()]
    return name, config, commands


@pytest.fixture
def folder(tmp_path):
    """A folder with images and palette masks of three classes, and the checkout's folders."""
    for split, count in (("train", 6), ("val", 3)):
        for number in range(count):
            columns = (np.arange(48) // 16 + number) % 3
            mask = np.repeat(columns[None], 40, 0).astype(np.uint8)
            mask[:3] = 255
            image = COLORS[np.where(mask == 255, 0, mask)]
            write_png(tmp_path / f"my/images/{split}/{number}.png", image)
            write_png(tmp_path / f"my/masks/{split}/{number}.png", mask, palette=True)
    (tmp_path / "my/classes.txt").write_text("earth\ngrass\nwater\n")
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_your_own_data(folder):
    name, config, commands = walk_through()
    (folder / name).write_text(config)
    python = folder / "bin/python"
    python.parent.mkdir()
    # A script, as a link would leave a virtual environment.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    said = []
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}"
        said.append(done.stdout)
    first, both, trained, evaluated, _ = said

    # A third of each class, the ignored rows apart: 37 of 40 rows.
    assert "6 of 6 pairs decoded" in first and "30.83 %" in first and "0 errors" in first
    assert "6 of 6 palette masks: the indices are read as labels" in first
    assert "3 of 3 pairs decoded" in both and "0 errors, 0 warnings" in both
    assert "10 iterations" in trained
    miou = re.search(r"mIoU (\d+\.\d+) %, weights in output/my_data/model_final.pth", trained)
    assert miou and re.search(rf"\bmIoU {re.escape(miou.group(1))}", evaluated)
    pictures = sorted(path.name for path in (folder / "output/my_data/predictions").iterdir())
    assert pictures == [*(f"{i}_comparison.jpg" for i in range(3)), "overview.png"]


def test_readme_section_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## Your own data\n(.*?)^## ", text, re.S | re.M).group(1)
    assert len([line for line in section.splitlines() if line and "```" not in line]) <= 32
