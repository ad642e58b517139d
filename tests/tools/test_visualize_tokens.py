"""From a config and weights to pictures and pages of the tokens."""

import json
import os
import re

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from tools.visualize_tokens import main, parse_args
from vt_seg.engine import SegmentationCheckpointer, load_cfg

SCENES = "configs/vtfpn_R18_scenes.yaml"
SMALL = ["MODEL.SEM_SEG_HEAD.CONVS_DIM", "32", "MODEL.FPN.OUT_CHANNELS", "32"]
SMALL += ["MODEL.VT_FPN.TOKEN_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64"]


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "in" / "a b.jpg"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8))
    return str(path)


def save_weights(config, folder, *overrides):
    """Random weights as a training run leaves them behind."""
    torch.manual_seed(0)
    cfg = load_cfg(config, ["MODEL.DEVICE", "cpu", "MODEL.VT_FPN.NORM", "BN", *overrides])
    checkpointer = SegmentationCheckpointer(build_model(cfg), str(folder))
    checkpointer.save("model_final", trainer={"iteration": 0})


def data_of(path):
    with open(path, encoding="utf-8") as file:
        page = file.read()
    assert len(page) < 5_000_000
    found = re.search(r'<script type="application/json".*?>(.*?)</script>', page, re.S)
    return page, json.loads(found[1])


def test_segmentation(image, out, capsys):
    out.mkdir()
    layers = ["MODEL.VT_FPN.NUM_LAYERS", "2", "MODEL.VT_FPN.PROJECTOR_READS", "all"]
    save_weights(SCENES, out, *SMALL, *layers)
    opts = ["--opts", *SMALL, *layers, "OUTPUT_DIR", str(out)]
    main(parse_args(["--config-file", SCENES, "--input", image, *opts]))
    said = capsys.readouterr().out
    assert f"weights: {out}/model_final.pth" in said
    assert f"1 pictures and as many pages in {out}/tokens" in said
    assert sorted(os.listdir(out / "tokens")) == ["a b_tokens.html", "a b_tokens.png"]
    # Eight token pictures to a row of 160 pixels each, behind one more.
    assert cv2.imread(str(out / "tokens/a b_tokens.png")).shape[1] == 9 * 160 + 8 * 8

    page, data = data_of(out / "tokens/a b_tokens.html")
    assert "vtfpn_R18_scenes.yaml" in page
    assert "model_final.pth" in page
    assert "102\u00d764, made from 80\u00d750" in page
    assert str(out) not in page
    first, second = data["layers"]
    assert first["name"] == "sem_seg_head.neck, layer 1"
    assert [token["name"] for token in second["tokens"]] == [
        f"{level}/{number}" for level in ("res2", "res3", "res4", "res5") for number in range(1, 9)
    ]
    assert [one["tokens"] for one in second["levels"]] == [list(range(32))] * 4
    assert second["tokens"][0]["origin"] == [1, 5]
    assert second["tokens"][4]["origin"] == [2, 5]


def test_classifier(image, out, tmp_path, capsys):
    config, weights = "configs/vtresnet_R18_shapes.yaml", f"{out}/model_final.pth"
    out.mkdir()
    save_weights(config, out)
    source = ["--config-file", config, "--weights", weights, "--input", image]
    main(parse_args([*source, "--output", str(tmp_path / "drawn")]))
    assert f"weights: {weights}" in capsys.readouterr().out
    _, data = data_of(tmp_path / "drawn/a b_tokens.html")
    top = data["prediction"]["top"]
    assert len(top) == 5
    assert data["prediction"]["picture"] is None
    assert sorted((p for _, p in top), reverse=True) == [p for _, p in top]
    assert top[0][1] <= 1
    # Its tokens are all that the classifier takes from the last layer.
    first, last = data["layers"]
    assert first["name"] == "backbone.res5, layer 1"
    assert first["levels"][0]["reads"]
    assert last["levels"][0]["reads"] is None


def test_faults(image, tmp_path):
    arguments = ["--config-file", SCENES, "--input", image]
    with pytest.raises(FileNotFoundError, match=r"--weights no.pth: no such file"):
        main(parse_args([*arguments, "--weights", "no.pth"]))
    with pytest.raises(FileNotFoundError, match="train first"):
        main(parse_args([*arguments, "--opts", "OUTPUT_DIR", str(tmp_path)]))
    no_tokens = ["--config-file", "configs/fpn_R18_scenes.yaml", "--input", image]
    overrides = ["--opts", "MODEL.WEIGHTS", "", "OUTPUT_DIR", str(tmp_path)]
    with pytest.raises(ValueError, match="has no VT layer"):
        main(parse_args([*no_tokens, *overrides]))


def test_bad_file_of_a_folder_does_not_stop_the_others(image, out, capsys):
    out.mkdir()
    save_weights(SCENES, out, *SMALL)
    folder = os.path.dirname(image)
    with open(f"{folder}/a.png", "wb") as file:
        file.write(b"not an image")
    os.mkdir(f"{folder}/d.png")
    opts = ["--opts", *SMALL, "OUTPUT_DIR", str(out)]
    with pytest.raises(ValueError, match=rf"^1 of 2 not drawn:\n  .*{folder}/a\.png"):
        main(parse_args(["--config-file", SCENES, "--input", folder, *opts]))
    assert sorted(os.listdir(out / "tokens")) == ["a b_tokens.html", "a b_tokens.png"]
    assert f"skipped: {folder}/d.png is a folder" in capsys.readouterr().err
