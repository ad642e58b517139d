import pytest

import vt_seg
from vt_seg.engine import load_cfg

from .tiny_datasets import write_tiny_scenes


@pytest.fixture(scope="module")
def scenes_root(tmp_path_factory):
    """Tiny vt_scenes, registered while the tests of a module run."""
    root = tmp_path_factory.mktemp("datasets")
    write_tiny_scenes(root)
    vt_seg.register_all_datasets(str(root))
    yield root
    vt_seg.register_all_datasets()


@pytest.fixture
def scenes_cfg(scenes_root, tmp_path):
    """The recipe of fpn_R18_scenes for tiny images and two iterations, on one CPU process."""
    cfg = load_cfg("configs/fpn_R18_scenes.yaml", TINY_SCENES)
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    cfg.MODEL.DEVICE = "cpu"
    return cfg


TINY_SCENES = [
    *("INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64"),
    *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "2", "SOLVER.WARMUP_ITERS", "0"),
    *("SOLVER.REFERENCE_WORLD_SIZE", "0", "DATALOADER.NUM_WORKERS", "0", "SEED", "1"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "32", "MODEL.FPN.OUT_CHANNELS", "32"),
]
