"""A small model with weights that are not the initial ones, as a run and as a hub folder."""

import os

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from tests.engine.conftest import scenes_root  # noqa: F401  (a fixture)
from tests.modeling.conftest import wake
from tests.small_configs import SLIM, TINY_SCENES
from vt_seg.engine import SegmentationCheckpointer, load_cfg
from vt_seg.hub import save_pretrained
from vt_seg.prediction import Predictor

CONFIG = "configs/vtfpn_R18_scenes.yaml"


@pytest.fixture(scope="session")
def overrides(tmp_path_factory):
    run = tmp_path_factory.mktemp("prediction") / "run"
    return [*TINY_SCENES, *SLIM, "OUTPUT_DIR", str(run), "MODEL.DEVICE", "cpu"]


@pytest.fixture(scope="session")
def run(overrides):
    """The folder of a run that has ended; the hub folder stands next to it."""
    cfg = load_cfg(CONFIG, overrides)
    torch.manual_seed(3)
    model = wake(build_model(cfg)).eval()  # tokens are written to the maps
    with torch.no_grad():  # so that several classes are predicted
        for name, value in (*model.named_buffers(), *model.named_parameters()):
            if name.endswith("running_mean"):
                value.uniform_(-0.1, 0.1)
            if "predictor.bias" in name:
                value.uniform_(-0.02, 0.02)
    folder = cfg.OUTPUT_DIR
    os.mkdir(folder)
    SegmentationCheckpointer(model, folder).save("model_final", trainer={"iteration": 0})
    with open(f"{folder}/config.yaml", "w") as file:
        file.write(cfg.dump())
    save_pretrained(model, cfg, f"{folder}/../hub")
    return folder


@pytest.fixture(scope="session")
def predictor(run):
    return Predictor(run)


@pytest.fixture
def image():
    """Noise in blocks, (48, 70, 3) uint8, RGB."""
    blocks = np.random.default_rng(1).integers(0, 256, (6, 7, 3), np.uint8)
    return blocks.repeat(8, 0).repeat(10, 1)
