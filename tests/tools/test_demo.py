"""Pictures from a trained model, on files and on a dataset."""

import os

import pytest
import torch
from detectron2.modeling import build_model

from tests.tiny_datasets import write_tiny_scenes
from tools import demo, visualize_data, visualize_tokens
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


def test_folder_with_bad_files_draws_the_rest_and_ends_with_code_1(tools, trained, out, tmp_path):
    images = tmp_path / "datasets/vt_scenes/images/val"
    expected = [f"{i}_prediction.jpg" for i in sorted(p.stem for p in images.iterdir())]
    (images / "d.png").mkdir()
    (images / "bad.png").write_bytes(b"not an image")
    arguments = ("--config-file", CONFIG, "--input", images, *trained)
    said = tools.run("demo.py", *arguments, succeeds=False)
    assert "Traceback" not in said
    assert f"weights: {out}/model_final.pth" in said
    assert f"skipped: {images}/d.png is a folder" in said
    assert f"4 pictures in {out}/predictions" in said
    assert f"error: 1 of 5 not drawn:\n  {images}/bad.png" in said
    assert sorted(os.listdir(out / "predictions")) == expected


def test_dataset_is_drawn_next_to_its_ground_truth(trained, registered, tmp_path, capsys):
    folder = str(tmp_path / "pictures")
    source = ["--dataset", "vt_scenes_val", "--num", "2", "--output", folder]
    main(parse_args(["--config-file", CONFIG, *source, *trained]))
    assert f"2 comparisons in {folder}, all in {folder}/overview.png" in capsys.readouterr().out
    assert len(os.listdir(folder)) == 3


def test_named_weights_are_taken(trained, out, tmp_path):
    os.replace(out / "model_final.pth", tmp_path / "mine.pth")
    image = str(tmp_path / "datasets/vt_scenes/images/val/*1.jpg")
    weights = ["MODEL.WEIGHTS", str(tmp_path / "mine.pth")]
    main(parse_args(["--config-file", CONFIG, "--input", image, *trained, *weights]))
    assert len(os.listdir(out / "predictions")) == 1


@pytest.mark.parametrize("tool", [demo, visualize_data, visualize_tokens])
def test_output_that_is_a_file_is_refused_before_anything_is_read(tool, tmp_path):
    (tmp_path / "file").write_text("mine")
    arguments = ["--config-file", CONFIG, "--output", str(tmp_path / "file")]
    inputs = [] if tool is visualize_data else ["--input", "a.jpg"]
    with pytest.raises(ValueError, match=f"^--output {tmp_path}/file is no folder: name another"):
        tool.main(tool.parse_args([*arguments, *inputs]))
    assert (tmp_path / "file").read_text() == "mine"
