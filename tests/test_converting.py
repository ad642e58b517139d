"""The walks of docs/converting.md, from annotations to a trained model, work as written."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_prep.tests import export_files as files
from vt_seg.data import read_mask, unregister

from .data.image_files import write_png
from .small_configs import SLIM, TINY_SCENES

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "converting.md").read_text(encoding="utf-8")
SIZE = 48, 64
NAMES = {"train": "abcd", "val": "ef"}
LEFT, RIGHT = [4, 8, 28, 8, 28, 40, 4, 40], [32, 8, 60, 8, 60, 40, 32, 40]
COLORS = np.array(files.PALETTE, np.uint8)


def expected():
    """A cat on the left and a dog on the right."""
    labels = np.zeros(SIZE, np.uint8)
    labels[8:40, 4:28] = 1
    labels[8:40, 32:60] = 2
    return labels


def write_labelme(split, name):
    shapes = [
        files.labelme_shape("cat", files.pairs(LEFT)),
        files.labelme_shape("dog", files.pairs(RIGHT)),
    ]
    content = {"shapes": shapes, "imagePath": f"..\\{name}.png", "imageData": None}
    size = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    files.write_json(Path(f"my/{split}/{name}.json"), content | size)
    Path("my/labels.txt").write_text("__ignore__\n_background_\ncat\ndog\n")


def write_coco(split):
    images = [
        {"id": 5 * i, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]}
        for i, name in enumerate(NAMES[split])
    ]
    shapes = ((17, LEFT), (18, RIGHT))
    annotations = [
        {"id": i, "image_id": image["id"], "category_id": category, "segmentation": [polygon]}
        for i, (image, (category, polygon)) in enumerate((im, s) for im in images for s in shapes)
    ]
    categories = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    files.write_json(Path(f"my/{split}.json"), content)


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    """Return a folder with images in my/train and my/val, and the checkout's folders."""
    monkeypatch.chdir(tmp_path)
    for name in ("configs", "datasets", "tools"):
        Path(name).symlink_to(ROOT / name)
    for split, names in NAMES.items():
        for name in names:
            write_png(Path(f"my/{split}/{name}.png"), COLORS[expected()] * 4)
    yield tmp_path
    unregister("my_masks_train", "my_masks_val")
    shutil.rmtree(tmp_path / "output", ignore_errors=True)


def run(command, monkeypatch, capfd, *more):
    """Run a command of the document in this process and return what it printed."""
    python, script, *arguments = shlex.split(command)
    assert python == "python"
    monkeypatch.setattr(sys, "argv", [script, *arguments, *more])
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as exit_:
        if exit_.code:
            pytest.fail(f"{command}: {exit_.code}\n{capfd.readouterr()}")
    return capfd.readouterr().out


@pytest.mark.parametrize("start", ["LabelMe", "a COCO JSON", "masks of colours"])
def test_walk_to_a_trained_model(start, working_folder, monkeypatch, capfd):
    heading = f"## From {start} to a trained model\n"
    section = DOCUMENT[DOCUMENT.index(heading) + len(heading) :].split("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.S | re.M)
    (config,) = (body for kind, body in blocks if kind == "yaml")
    commands = [line for kind, body in blocks if not kind for line in body.splitlines()]
    first, second, validate, train = commands
    (name,) = set(re.findall(r"`(my_\w+\.yaml)`", section))
    for split in NAMES:
        for image in NAMES[split]:
            if start == "LabelMe":
                write_labelme(split, image)
            elif start == "masks of colours":
                write_png(Path(f"my/colors/{split}/{image}.png"), COLORS[expected()])
        if start == "a COCO JSON":
            write_coco(split)
    lines = [
        f"{n}:{r},{g},{b}::"
        for n, (r, g, b) in zip(("background", "cat", "dog"), COLORS, strict=True)
    ]
    Path("my/labelmap.txt").write_text("\n".join(lines) + "\n")

    printed = [run(command, monkeypatch, capfd) for command in (first, second)]
    entries = [
        yaml.safe_load(text[text.index("DATASETS:") :])["DATASETS"]["CUSTOM"][0] for text in printed
    ]
    assert entries == yaml.safe_load(config)["DATASETS"]["CUSTOM"]
    for split, names in NAMES.items():
        for image in names:
            mask = read_mask(working_folder / f"my_masks/{split}/masks/{image}.png")
            np.testing.assert_array_equal(mask, expected())

    Path(name).write_text(config)
    assert "0 errors" in run(validate, monkeypatch, capfd)
    run(train, monkeypatch, capfd, *TINY_SCENES, *SLIM)
    output = working_folder / yaml.safe_load(config)["OUTPUT_DIR"]
    assert (output / "model_final.pth").exists()
    assert re.search(r"Done: mIoU \d+\.\d+ %", (output / "log.txt").read_text())
