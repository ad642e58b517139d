import pytest

import vt_seg
from tests.small_configs import SLIM, TINY_SCENES, TINY_SHAPES
from tests.tiny_datasets import write_tiny_scenes, write_tiny_shapes
from vt_seg.engine import load_cfg


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


@pytest.fixture
def scenes_cfg(scenes_root, tmp_path):
    """The recipe of fpn_R18_scenes for tiny images and two iterations, on one CPU process."""
    cfg = load_cfg("configs/fpn_R18_scenes.yaml", TINY_SCENES)
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    cfg.MODEL.DEVICE = "cpu"
    return cfg


@pytest.fixture
def slim_cfg(scenes_root, tmp_path):
    """VT-FPN on a ResNet-50 of few channels: steps and checkpoints that cost next to nothing."""
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml", TINY_SCENES + SLIM)
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    cfg.MODEL.DEVICE = "cpu"
    return cfg


@pytest.fixture
def shapes_cfg(shapes_root, tmp_path):
    """The recipe of resnet_R18_shapes for tiny images and two iterations, on one CPU process."""
    cfg = load_cfg("configs/resnet_R18_shapes.yaml", TINY_SHAPES)
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    cfg.MODEL.DEVICE = "cpu"
    return cfg
