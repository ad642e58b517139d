import pytest
import torch

import vt_seg
from tests.small_configs import SLIM, TINY_SCENES, TINY_SHAPES
from tests.tiny_datasets import write_tiny_scenes, write_tiny_shapes
from vt_seg.engine import Trainer, load_cfg


def registered_root(write):
    """A root with what ``write`` puts there, registered while the tests of a module run."""

    @pytest.fixture(scope="module")
    def root(tmp_path_factory):
        root = tmp_path_factory.mktemp("datasets")
        write(root)
        vt_seg.register_all_datasets(str(root))
        yield root
        vt_seg.register_all_datasets()

    return root


scenes_root = registered_root(write_tiny_scenes)
shapes_root = registered_root(write_tiny_shapes)


def run_opts(tmp_path):
    return ["OUTPUT_DIR", str(tmp_path / "out"), "MODEL.DEVICE", "cpu"]


@pytest.fixture
def scenes_cfg(scenes_root, tmp_path):
    """The recipe of fpn_R18_scenes for tiny images and two iterations, on one CPU process."""
    return load_cfg("configs/fpn_R18_scenes.yaml", TINY_SCENES + run_opts(tmp_path))


@pytest.fixture
def slim_cfg(scenes_root, tmp_path):
    """VT-FPN on a ResNet-50 of few channels: steps and checkpoints that cost next to nothing."""
    return load_cfg("configs/vtfpn_R18_scenes.yaml", TINY_SCENES + SLIM + run_opts(tmp_path))


@pytest.fixture
def shapes_cfg(shapes_root, tmp_path):
    """The recipe of resnet_R18_shapes for tiny images and two iterations, on one CPU process."""
    return load_cfg("configs/resnet_R18_shapes.yaml", TINY_SHAPES + run_opts(tmp_path))


def train(cfg, resume=False, stop=None):
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    if resume:
        torch.manual_seed(7)  # what was drawn before it resumes does not matter
    trainer.max_iter = stop or trainer.max_iter
    trainer.train()
    return trainer


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
