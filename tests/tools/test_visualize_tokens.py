"""A config and weights become pictures and pages of the tokens."""

import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from tests.small_configs import RES
from tools.visualize_tokens import main, parse_args
from vt_seg.engine import SegmentationCheckpointer, load_cfg

TIMES = "\N{MULTIPLICATION SIGN}"
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
    """Save random weights as a training run does."""
    torch.manual_seed(0)
    cfg = load_cfg(config, ["MODEL.DEVICE", "cpu", "MODEL.VT_FPN.NORM", "BN", *overrides])
    checkpointer = SegmentationCheckpointer(build_model(cfg), str(folder))
    checkpointer.save("model_final", trainer={"iteration": 0})


def data_of(path):
    page = path.read_text(encoding="utf-8")
    assert len(page) < 5_000_000
    found = re.search(r'<script type="application/json".*?>(.*?)</script>', page, re.S)
    return page, json.loads(found[1])


def test_pages_of_a_segmentation_model(image, out, capsys):
    out.mkdir()
    layers = ["MODEL.VT_FPN.NUM_LAYERS", "2", "MODEL.VT_FPN.PROJECTOR_READS", "all"]
    save_weights(SCENES, out, *SMALL, *layers)
    opts = ["--opts", *SMALL, *layers, "OUTPUT_DIR", str(out)]
    main(parse_args(["--config-file", SCENES, "--input", image, *opts]))
    said = capsys.readouterr().out
    assert f"weights: {out}/model_final.pth" in said
    assert f"2 pictures and pages in {out}/tokens" in said
    assert sorted(os.listdir(out / "tokens")) == ["a b_tokens.html", "a b_tokens.png"]
    # A row has nine pictures of 160 pixels, eight of them of tokens.
    assert cv2.imread(str(out / "tokens/a b_tokens.png")).shape[1] == 9 * 160 + 8 * 8

    page, data = data_of(out / "tokens/a b_tokens.html")
    size = f"102{TIMES}64, made from 80{TIMES}50"
    assert all(part in page for part in ("vtfpn_R18_scenes.yaml", "model_final.pth", size))
    assert str(out) not in page
    first, second = data["layers"]
    assert first["name"] == "sem_seg_head.neck, layer 1"
    names = [f"{level}/{number}" for level in RES for number in range(1, 9)]
    assert [token["name"] for token in second["tokens"]] == names
    assert [one["tokens"] for one in second["levels"]] == [list(range(32))] * 4
    assert [second["tokens"][i]["origin"] for i in (0, 4)] == [[1, 5], [2, 5]]


def test_page_of_a_classifier(image, out, tmp_path, capsys):
    config, weights = "configs/vtresnet_R18_shapes.yaml", f"{out}/model_final.pth"
    out.mkdir()
    save_weights(config, out)
    source = ["--config-file", config, "--weights", weights, "--input", image]
    main(parse_args([*source, "--output", str(tmp_path / "drawn")]))
    assert f"weights: {weights}" in capsys.readouterr().out
    _, data = data_of(tmp_path / "drawn/a b_tokens.html")
    probabilities = [p for _, p in data["prediction"]["top"]]
    assert len(probabilities) == 5
    assert sorted([1, *probabilities], reverse=True) == [1, *probabilities]
    assert data["prediction"]["picture"] is None
    # The classifier takes only the tokens from the last layer.
    first, last = data["layers"]
    assert first["name"] == "backbone.res5, layer 1"
    assert first["levels"][0]["reads"]
    assert last["levels"][0]["reads"] is None


def test_missing_weights_and_models_without_tokens_are_refused(image, tmp_path):
    arguments = ["--config-file", SCENES, "--input", image]
    with pytest.raises(FileNotFoundError, match=r"--weights no\.pth: no such file"):
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
    Path(folder, "a.png").write_bytes(b"not an image")
    os.mkdir(f"{folder}/d.png")
    opts = ["--opts", *SMALL, "OUTPUT_DIR", str(out)]
    with pytest.raises(ValueError, match=rf"^1 of 2 not drawn:\n  .*{folder}/a\.png"):
        main(parse_args(["--config-file", SCENES, "--input", folder, *opts]))
    assert sorted(os.listdir(out / "tokens")) == ["a b_tokens.html", "a b_tokens.png"]
    assert f"skipped: {folder}/d.png is a folder" in capsys.readouterr().err
