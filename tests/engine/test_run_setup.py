"""What can be known before iteration 0 is checked before it, and a config stays as asked for."""

import logging
import os
from argparse import Namespace
from logging.handlers import MemoryHandler

import numpy as np
import pytest
import torch
import yaml
from detectron2.data import MetadataCatalog

from tests.small_configs import SLIM, TINY_SCENES
from vt_seg.data import unregister
from vt_seg.data_checks import sample_check
from vt_seg.engine import SemSegPredictor, Trainer, evaluate, load_cfg, setup_cfg, task_of

from ..data.image_files import gradient, write_png

SCENES = "configs/vtfpn_R18_scenes.yaml"


@pytest.fixture
def start(tmp_path):
    """A function that sets up a run on two datasets of three pairs, one of which it can damage."""

    def write(split, labels=(0, 1)):
        for name in "abc":
            write_png(tmp_path / f"{split}/images/{name}.jpg", gradient(32, 32))
            mask = np.resize(np.array(labels, np.uint8), (32, 32))
            write_png(tmp_path / f"{split}/masks/{name}.png", mask)

    def run(damage=None, split="val", **given):
        for each in ("train", "val"):
            if not (tmp_path / each).exists():
                write(each)
        if damage == "label":
            write(split, (0, 7))
        elif damage == "size":
            write_png(tmp_path / split / "masks/b.png", np.zeros((16, 32), np.uint8))
        elif damage:
            (tmp_path / split / damage).rename(tmp_path / "removed")
        keys = {"CLASSES": ["x", "y", "z"], **given.pop("keys", {})}
        custom = [
            {"NAME": f"my_{each}", "IMAGES": f"{tmp_path}/{each}/images"}
            | {"MASKS": f"{tmp_path}/{each}/masks", **keys}
            for each in ("train", "val")
        ]
        opts = [
            *TINY_SCENES,
            *SLIM,
            "OUTPUT_DIR",
            f"{tmp_path}/out",
            "DATASETS.CUSTOM",
            f"{custom}",
        ]
        opts += ["DATASETS.TRAIN", "('my_train',)", "DATASETS.TEST", "('my_val',)"]
        opts += ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", *given.pop("opts", [])]
        fields = {"eval_only": False, "resume": False, "num_gpus": 0, **given}
        return setup_cfg(Namespace(config_file=SCENES, opts=opts, **fields))

    yield run
    unregister("my_train", "my_val")


FAULTS = {
    "images": "no folder of images at .*images",
    "masks/b.png": "1 of 3 images without mask, e.g. .*b.jpg .expected .*masks/b.png",
    "label": "(label|value) 7",
    "size": "b.jpg: image 32x32, mask 32x16 .*b.png",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_fault_of_a_dataset_ends_a_run_before_it_begins(start, tmp_path, split, fault):
    with pytest.raises((ValueError, OSError), match=FAULTS[fault]):
        start(fault, split)
    assert not (tmp_path / "out").exists()
    if split == "val":
        with pytest.raises((ValueError, OSError), match=FAULTS[fault]):
            start(eval_only=True)
    else:
        start(eval_only=True)  # which reads no training set


def test_large_datasets_are_sampled_and_the_log_says_so(start, monkeypatch, log):
    monkeypatch.setattr(sample_check, "SAMPLE", 2)
    start()
    for split, name in (("TEST", "my_val"), ("TRAIN", "my_train")):
        says = f"DATASETS.{split} {name}: 2 of 3 pairs were read and are right; vt-seg validate"
        assert says in log.text


def test_warnings_of_the_checks_are_in_the_log_file(start, tmp_path, monkeypatch):
    package = logging.getLogger("vt_seg")  # as in a tool, where nothing takes its messages yet
    monkeypatch.setattr(package, "propagate", False)
    monkeypatch.setattr(package, "handlers", [])
    start(keys={"LABEL_MAP": {0: 1, 1: 0}})
    lines = (tmp_path / "out/log.txt").read_text().splitlines()
    says = "WARNING: my_train: the 2 values of LABEL_MAP: no value of the masks gives class z (2)"
    assert sum(says in line for line in lines) == 1
    assert not any(isinstance(handler, MemoryHandler) for handler in package.handlers)


@pytest.mark.parametrize("eval_only", [True, False])
def test_weights_that_are_not_there_end_a_run_before_it_begins(start, tmp_path, eval_only):
    with pytest.raises(ValueError, match=r"gone.pth cannot be read .No such file or directory"):
        start(eval_only=eval_only, opts=["MODEL.WEIGHTS", "gone.pth"])
    assert not (tmp_path / "out").exists()


def test_evaluator_that_cannot_be_built_ends_a_run_before_it_begins(start):
    cfg = start()
    MetadataCatalog.get("my_val").__dict__["evaluator_type"] = "mine"
    with pytest.raises(ValueError, match="Dataset my_val has evaluator_type 'mine'"):
        Trainer(cfg)


@pytest.mark.parametrize("key", ["TRAIN", "TEST"])
def test_text_in_place_of_dataset_names_is_recognised_everywhere(slim_cfg, key):
    cfg = slim_cfg
    cfg.DATASETS[key] = "vt_scenes_val"
    for use in (
        lambda: task_of(cfg).check_datasets(is_train=True),
        lambda: Trainer(cfg),
        lambda: evaluate(cfg, allow_random_weights=True),
        lambda: SemSegPredictor(cfg),
    ):
        with pytest.raises(ValueError, match=f"DATASETS.{key} is the text") as error:
            use()
        assert str(error.value) == (
            f"DATASETS.{key} is the text 'vt_scenes_val' and needs a tuple: write "
            "('vt_scenes_val',), with the comma"
        )


def test_config_is_saved_as_asked_for_and_what_was_adapted_next_to_it(start, tmp_path):
    asked = ["MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", "True", "MODEL.VT_FPN.NORM", "SyncBN"]
    asked += ["SOLVER.REFERENCE_WORLD_SIZE", "2"]
    cfg = start(opts=asked)
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED, cfg.MODEL.VT_FPN.NORM) == ("cpu", False, "BN")
    saved = load_cfg(str(tmp_path / "out/config.yaml"))
    assert (saved.MODEL.DEVICE, saved.SOLVER.AMP.ENABLED) == ("cuda", True)
    assert saved.MODEL.VT_FPN.NORM == "SyncBN"
    path = tmp_path / "out/adapted_to_machine.yaml"
    adapted = yaml.safe_load(path.read_text())
    assert adapted["MODEL.DEVICE"] == {"asked": "cuda", "used": "cpu"}
    assert adapted["SOLVER.AMP.ENABLED"] == {"asked": True, "used": False}
    assert adapted["MODEL.VT_FPN.NORM"] == {"asked": "SyncBN", "used": "BN"}
    assert adapted["SOLVER.IMS_PER_BATCH"] == {"asked": 4, "used": 2}  # one process of two
    assert adapted["SOLVER.MAX_ITER"] == {"asked": 2, "used": 4}
    start(opts=[*asked, "MODEL.DEVICE", "cpu"], eval_only=True)
    assert load_cfg(str(tmp_path / "out/config.yaml")) == saved
    evaluated = yaml.safe_load((tmp_path / "out/inference/adapted_to_machine.yaml").read_text())
    assert "MODEL.DEVICE" not in evaluated
    assert evaluated["SOLVER.AMP.ENABLED"] == {"asked": True, "used": False}
    assert yaml.safe_load(path.read_text()) == adapted


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_predictor_of_a_plain_config_runs_on_the_cpu_and_says_so(slim_cfg, log):
    slim_cfg.MODEL.DEVICE = "cuda"
    labels = SemSegPredictor(slim_cfg).predict_labels(gradient(32, 48))
    assert labels.shape == (32, 48)
    assert "MODEL.DEVICE cuda -> cpu: there is no GPU." in log.text
    assert slim_cfg.MODEL.DEVICE == "cuda"


def test_classes_of_other_names_are_a_warning(start, log, tmp_path):
    cfg = start()
    MetadataCatalog.get("my_val").__dict__["stuff_classes"] = ["x", "Y", "z"]
    task_of(cfg).check_datasets(is_train=True)
    assert (
        "label 1 is y in my_train but Y in my_val: give both the same list of classes" in log.text
    )
    assert os.listdir(tmp_path / "out")


def test_augmentation_that_does_not_take_the_images_ends_before_anything_is_written(
    start, tmp_path
):
    entry = {"NAME": "torchvision.transforms.v2.Normalize", "ARGS": {"mean": [0], "std": [1]}}
    with pytest.raises(ValueError, match=r"INPUT.AUGMENTATIONS torchvision.*Normalize fails: "):
        start(opts=["INPUT.AUGMENTATIONS", f"{[entry]}"])
    assert not (tmp_path / "out").exists()
