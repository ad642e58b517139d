"""The commands, Python examples and paths of README.md and the documents work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from vt_seg.engine import load_cfg

from .data.image_files import write_png

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "datasets" / "README.md",
]
COLORS = np.array([(90, 60, 30), (40, 160, 60), (30, 60, 200)], np.uint8)


README = (ROOT / "README.md").read_text(encoding="utf-8")


def walk_through():
    """Return the config's name and content and the commands of README.md in order."""
    section = re.search(r"^## Your own data\n(.*?)^## ", README, re.S | re.M).group(1)
    assert len([line for line in section.splitlines() if line and "```" not in line]) <= 32
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.S | re.M)
    (config,) = (body for kind, body in blocks if kind == "yaml")
    (name,) = set(re.findall(r"--config-file (\S+)", section))
    assert f"`{name}`" in section
    commands = [line for kind, body in blocks if not kind for line in body.splitlines()]
    return name, config, commands


def write_my_data(folder):
    """Write images, palette masks and the list of three classes into ``my``."""
    for split, count in (("train", 6), ("val", 3)):
        for number in range(count):
            columns = (np.arange(48) // 16 + number) % 3
            mask = np.repeat(columns[None], 40, 0).astype(np.uint8)
            mask[:3] = 255
            image = COLORS[np.where(mask == 255, 0, mask)]
            write_png(folder / f"my/images/{split}/{number}.png", image)
            write_png(folder / f"my/masks/{split}/{number}.png", mask, palette=True)
    (folder / "my/classes.txt").write_text("earth\ngrass\nwater\n")


@pytest.fixture
def folder(tmp_path):
    """Return a folder with images, palette masks of three classes, and the checkout's folders."""
    write_my_data(tmp_path)
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_commands_on_your_own_data(folder):
    name, config, commands = walk_through()
    (folder / name).write_text(config)
    python = folder / "bin/python"
    python.parent.mkdir()
    # This is a script, since a link would leave a virtual environment.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    said = []
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}"
        said.append(done.stdout)
    first, both, trained, evaluated, _ = said

    # Each class has a third of the 37 of 40 rows that are not ignored.
    palette = "6 of 6 palette masks: the indices are read as labels"
    expected = ("6 of 6 pairs decoded", "30.83 %", "0 errors", palette)
    assert [part for part in expected if part not in first] == []
    assert "3 of 3 pairs decoded" in both
    assert "0 errors, 0 warnings" in both
    assert "10 iterations" in trained
    miou = re.search(r"mIoU (\d+\.\d+) %, weights in output/my_data/model_final.pth", trained)
    assert miou
    assert re.search(rf"\bmIoU {re.escape(miou.group(1))}", evaluated)
    pictures = sorted(path.name for path in (folder / "output/my_data/predictions").iterdir())
    assert pictures == [*(f"{i}_comparison.jpg" for i in range(3)), "overview.png"]


def python_block(part: str) -> str:
    """Return the block of Python in README.md that contains `part`."""
    (block,) = (b for b in re.findall(r"^```python\n(.*?)^```$", README, re.S | re.M) if part in b)
    return block


def test_prediction_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    assert cv2.imwrite("image.jpg", np.full((70, 90, 3), 128, np.uint8))
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml", ["MODEL.DEVICE", "cpu"])
    weights = tmp_path / "output/vtfpn_R18_scenes/model_final.pth"
    weights.parent.mkdir(parents=True)
    torch.save({"model": build_model(cfg).state_dict()}, weights)

    names = {}
    exec(python_block("vt_seg.Predictor"), names)
    assert names["label_map"].shape == (70, 90)
    assert names["label_map"].max() < cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES


def test_neck_in_python():
    sizes, channels = [(9, 7), (5, 4), (3, 2), (2, 1)], [256, 512, 1024, 2048]
    maps = [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
    names = dict(zip(["res2", "res3", "res4", "res5"], maps, strict=True))
    exec(python_block("VTFPN("), names)
    assert [tuple(x.shape) for x in names["maps"]] == [(2, 256, *s) for s in sizes]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_files_that_exist(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    folders = "configs|datasets|dev|docs|examples|research|tests|tools|vt_seg"
    named = re.findall(rf"(?<![\w/.$])((?:{folders})/[\w/]+\.(?:py|md))\b", text)
    missing += [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert not missing
