"""Images of rare classes are repeated, in an order that can be resumed and shared."""

from collections import Counter
from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from vt_seg.data import register_sem_seg, unregister
from vt_seg.engine import load_cfg
from vt_seg.engine.data_loaders import build_train_loader
from vt_seg.engine.training_order import SeededOrder, continue_order

from .test_training_order import batches

CONFIG = "configs/vtfpn_R18_scenes.yaml"


@pytest.fixture
def cfg(scenes_cfg, tmp_path):
    """Twenty images of class 0; class 2 is in five of them and class 1 in the first alone."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(20):
        mask = np.zeros((32, 32), np.uint8)
        mask[:4] = 255
        mask[4:8] = {0: 1}.get(i, 2 if i % 4 == 0 else 0)
        cv2.imwrite(f"{tmp_path}/images/{i:02d}.png", np.full((32, 32, 3), i, np.uint8))
        cv2.imwrite(f"{tmp_path}/masks/{i:02d}.png", mask)
    classes = [f"class {i}" for i in range(14)]
    register_sem_seg("skewed", tmp_path / "images", tmp_path / "masks", classes)
    scenes_cfg.DATASETS.TRAIN = ("skewed",)
    scenes_cfg.SOLVER.IMS_PER_BATCH = 2
    scenes_cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    scenes_cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    scenes_cfg.DATALOADER.REPEAT_THRESHOLD = 0.45
    yield scenes_cfg
    unregister("skewed")


def test_images_occur_as_often_as_their_rarest_class_needs(cfg, log):
    """Class 1 is in 1/20 of the images: sqrt(0.45 / 0.05) = 3. Class 2: sqrt(0.45 / 0.2) = 1.5."""
    factors = build_train_loader(cfg).sampler.repeat_factors
    assert factors.tolist() == pytest.approx([3] + [1.5 if i % 4 == 0 else 1 for i in range(1, 20)])
    assert "5 of 20 images are repeated, up to 3 times; 2 classes are in less than 0.45" in log.text
    # Of 3 + 4 * 1.5 + 15 = 24 images in an epoch, 3 have class 1 and 6 have class 2.
    assert "class 1 5.0% -> 12.5%, class 2 20.0% -> 25.0%" in log.text
    drawn = Counter(i for _, i in islice(SeededOrder(20, 0, factors), 2400))
    assert drawn[0] / 2400 == pytest.approx(0.125, abs=0.01)
    assert sum(drawn[i] for i in (4, 8, 12, 16)) / 2400 == pytest.approx(0.25, abs=0.01)
    cfg.DATALOADER.REPEAT_SQRT = False
    assert build_train_loader(cfg).sampler.repeat_factors[0] == 9


@pytest.mark.parametrize("num_workers", [0, 2])
def test_order_of_repeated_images_continues(cfg, num_workers):
    cfg.DATALOADER.NUM_WORKERS = num_workers
    whole = batches(build_train_loader(cfg), 14)
    loader = build_train_loader(cfg)
    continue_order(loader, 5 * cfg.SOLVER.IMS_PER_BATCH)
    assert batches(loader, 9) == whole[5:]


def test_processes_share_the_order_of_repeated_images(monkeypatch):
    factors = torch.tensor([1.0, 2.5, 1.3])
    keys = list(islice(SeededOrder(3, 1, factors), 20))
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda rank=rank: rank)
        assert list(islice(SeededOrder(3, 1, factors), 10)) == keys[rank::2]


@pytest.mark.parametrize(
    ("config", "threshold", "message"),
    [
        (CONFIG, "0.0", "REPEAT_THRESHOLD is 0.0, with which .* repeats nothing: set the share"),
        ("configs/resnet_R18_shapes.yaml", "0.1", "ImageClassifier has no masks .* TrainingSam"),
    ],
)
def test_samplers_that_repeat_nothing_are_refused(config, threshold, message):
    sampler = ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"]
    with pytest.raises(ValueError, match=message):
        load_cfg(config, [*sampler, "DATALOADER.REPEAT_THRESHOLD", threshold])
