"""Pictures from a trained model, on files and on a dataset."""

import os

import pytest
import torch
from detectron2.modeling import build_model

import vt_seg
from tests.tiny_datasets import write_tiny_scenes
from tools.demo import main, parse_args
from vt_seg.engine import SegmentationCheckpointer, load_cfg

SMALL = ["MODEL.SEM_SEG_HEAD.CONVS_DIM", "32", "MODEL.FPN.OUT_CHANNELS", "32"]
CONFIG = "configs/fpn_R18_scenes.yaml"


@pytest.fixture
def trained(out, tmp_path):
    """A folder with final weights, and tiny scenes; the overrides that name it."""
    write_tiny_scenes(tmp_path / "datasets")
    torch.manual_seed(0)
    model = build_model(load_cfg(CONFIG, ["MODEL.DEVICE", "cpu", *SMALL]))
    out.mkdir()
    SegmentationCheckpointer(model, str(out)).save("model_final", trainer={"iteration": 0})
    return ["--opts", *SMALL, "OUTPUT_DIR", str(out)]


def test_files(tools, trained, out, tmp_path):
    images = tmp_path / "datasets/vt_scenes/images/val"
    said = tools.run("demo.py", "--config-file", CONFIG, "--input", images, *trained)
    assert f"weights: {out}/model_final.pth" in said
    assert f"4 pictures in {out}/predictions" in said
    expected = [f"{i}_prediction.jpg" for i in sorted(p.stem for p in images.iterdir())]
    assert sorted(os.listdir(out / "predictions")) == expected


def test_folder_with_bad_files_draws_the_rest_and_ends_with_code_1(tools, trained, out, tmp_path):
    images = tmp_path / "datasets/vt_scenes/images/val"
    (images / "d.png").mkdir()
    (images / "bad.png").write_bytes(b"not an image")
    process = tools.start("demo.py", "--config-file", CONFIG, "--input", images, *trained)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert f"skipped: {images}/d.png is a folder" in said
    assert f"4 pictures in {out}/predictions" in said
    assert f"error: 1 of 5 not drawn:\n  {images}/bad.png" in said
    assert len(os.listdir(out / "predictions")) == 4


def test_dataset(trained, tmp_path, capsys):
    folder = str(tmp_path / "pictures")
    source = ["--dataset", "vt_scenes_val", "--num", "2", "--output", folder]
    vt_seg.register_all_datasets(str(tmp_path / "datasets"))
    try:
        main(parse_args(["--config-file", CONFIG, *source, *trained]))
    finally:
        vt_seg.register_all_datasets()
    assert f"2 comparisons in {folder}, all in {folder}/overview.png" in capsys.readouterr().out
    assert len(os.listdir(folder)) == 3


def test_untrained(tmp_path):
    source = ["--input", "LICENSE", "--opts", "OUTPUT_DIR", str(tmp_path)]
    with pytest.raises(FileNotFoundError, match=r"train first, or name a file with MODEL.WEIGHTS"):
        main(parse_args(["--config-file", CONFIG, *source]))


def test_named_weights_are_taken(trained, out, tmp_path):
    os.replace(out / "model_final.pth", tmp_path / "mine.pth")
    image = str(tmp_path / "datasets/vt_scenes/images/val/*1.jpg")
    weights = ["MODEL.WEIGHTS", str(tmp_path / "mine.pth")]
    main(parse_args(["--config-file", CONFIG, "--input", image, *trained, *weights]))
    assert len(os.listdir(out / "predictions")) == 1
