"""The life of a classifier on a tiny image folder: train, resume, evaluate, and what is refused."""

import json
import runpy
import sys

import pytest

from tests.small_configs import TINY_SHAPES
from tests.tiny_datasets import write_tiny_shapes

from .conftest import ROOT

SLIM = ["MODEL.VT_RESNET.TOKEN_CHANNELS", "64", "MODEL.VT_RESNET.NUM_TOKENS", "4"]


@pytest.fixture
def here(train_net, registered):
    """Run train_net's ``main`` in this process on tiny vt_shapes."""
    write_tiny_shapes(registered)
    return train_net


KEYS = ["classification/top1", "classification/top5", "classification_EMA/top1"]


def last_scores(folder):
    """The last evaluation in metrics.json, unrounded: raw and averaged weights."""
    with open(folder / "metrics.json") as file:
        lines = [json.loads(line) for line in file]
    return [[line[key] for key in KEYS] for line in lines if KEYS[0] in line][-1]


def test_train_resume_and_evaluate(here, out):
    config = ("--config-file", "configs/vtresnet_R18_shapes.yaml")
    common = [*TINY_SHAPES, *SLIM, "OUTPUT_DIR", out]
    here(*config, *common)
    log = (out / "log.txt").read_text()
    assert "Transforms used in training: [RandomResizedCrop(size=(32, 32)" in log
    assert "vt_shapes_val, 10 images, accuracy in percent:" in log
    top1, top5, ema_top1 = last_scores(out)
    # Ten images: shares in steps of ten, and a first choice is one of five.
    assert top1 % 10 == top5 % 10 == 0
    assert 0 <= top1 <= top5 <= 100
    assert f"Done: top-1 {top1:.2f} % (EMA {ema_top1:.2f} %), weights in {out}/model" in log
    table = (out / "inference" / "classification_per_class.csv").read_text().splitlines()
    assert len(table) == 12
    assert table[-1].startswith(f"all images,10,{top1:.2f}")

    here(*config, "--resume", *common, "SOLVER.MAX_ITER", 3)
    log = (out / "log.txt").read_text()
    assert f"Resuming from {out}/model_final.pth at iteration 2 of 3." in log
    trained = last_scores(out)

    again = here(*config, "--eval-only", "--resume", *common)
    assert [again["classification"]["top1"], again["classification"]["top5"]] == trained[:2]


def test_a_config_that_does_not_fit_its_folders(here, tmp_path, out):
    config = ("--config-file", "configs/resnet_R18_shapes.yaml", "OUTPUT_DIR", out)
    with pytest.raises(SystemExit, match="NUM_CLASSES is 9 but vt_shapes_train has 10 classes"):
        here(*config, "MODEL.CLASSIFIER.NUM_CLASSES", 9)
    folder = tmp_path / "datasets/vt_shapes/val"
    (folder / "heart").rename(folder / "hart")
    with pytest.raises(SystemExit, match=r"vt_shapes_val: .*lacks 1 of the 10 listed .*\(heart\)"):
        here(*config)
    assert not out.exists()


@pytest.mark.parametrize("tool", ["validate_dataset.py", "visualize_data.py", "demo.py"])
def test_tools_for_masks_say_what_they_are_for(monkeypatch, tool):
    arguments = ["--config-file", str(ROOT / "configs/resnet_R18_shapes.yaml")]
    if tool == "demo.py":
        arguments += ["--dataset", "vt_shapes_val"]
    monkeypatch.setattr(sys, "argv", [tool, *arguments])
    with pytest.raises(SystemExit, match="ImageClassifier classifies images; this tool is for sem"):
        runpy.run_path(str(ROOT / "tools" / tool), run_name="__main__")
