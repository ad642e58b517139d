"""A config and its datasets must fit; what to set is said before a model is built."""

import argparse
import os

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_sem_seg

from vt_seg.data import register_image_folder, register_sem_seg, unregister
from vt_seg.engine import load_cfg, setup_cfg, task_of
from vt_seg.engine.data_loaders import build_test_loader, build_train_loader

from ..data.image_files import gradient, write_png

CONFIG = "configs/vtfpn_R18_scenes.yaml"
CLASSES = ["ground", "tree", "water"]
SIDES = ["sky", "left wing", "right wing"]
MINE = ["DATASETS.TRAIN", "('my_train',)", "DATASETS.TEST", "('my_val',)"]
THREE = ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3"]
IGNORED = np.full((32, 32), 255, np.uint8)


@pytest.fixture
def custom(tmp_path):
    """Registers my_train and my_val, and gives the config that names them."""
    for name in "abc":
        write_png(tmp_path / f"images/{name}.jpg", gradient(32, 32))
        write_png(tmp_path / f"masks/{name}.png", np.zeros((32, 32), np.uint8))

    def make(*overrides, names=("my_train", "my_val"), **metadata):
        for name in names:
            folders = str(tmp_path / "images"), str(tmp_path / "masks")
            register_sem_seg(name, *folders, **{"classes": CLASSES, **metadata})
        return load_cfg(CONFIG, [*MINE, *THREE, *overrides])

    yield make
    unregister("my_train", "my_val")


def check_datasets(cfg, *, is_train):
    task_of(cfg).check_datasets(is_train=is_train)


def refused(cfg, says, is_train=True, error=ValueError):
    with pytest.raises(error, match=says):
        task_of(cfg).check_datasets(is_train=is_train)


def without_pairs(name):
    """Set metadata as of somebody else's registration: left and right, no flip_label_pairs."""
    MetadataCatalog.remove(name)
    MetadataCatalog.get(name).set(stuff_classes=SIDES, ignore_label=255, evaluator_type="sem_seg")


def test_config_that_fits_passes(custom):
    task_of(custom()).check_datasets(is_train=True)
    for name in ("vtfpn_R50_lip", "panoptic_vtfpn_R50", "mask_rcnn_vtfpn_R50"):
        task_of(load_cfg(f"configs/{name}.yaml")).check_datasets(is_train=True)


def test_wrong_number_of_classes_is_said_of_each_dataset(custom):
    key = "MODEL.SEM_SEG_HEAD.NUM_CLASSES"
    line = f"{key} is 54 but my_{{}} has 3 classes: set {key} 3"
    refused(custom(key, "54"), f"^{line.format('train')}\n{line.format('val')}$")


@pytest.mark.parametrize(
    ("masks", "opts", "says"),
    [
        (np.zeros((32, 32), np.uint8), [], "NUM_CLASSES is 14 but my_train has 3 classes"),
        (IGNORED, THREE, "my_train has nothing to learn from"),
    ],
)
def test_run_is_refused_before_it_begins(custom, tmp_path, masks, opts, says):
    custom()
    for name in "abc":
        write_png(tmp_path / f"masks/{name}.png", masks)
    opts = [*MINE, *opts, "OUTPUT_DIR", str(tmp_path / "out")]
    args = argparse.Namespace(config_file=CONFIG, opts=opts, num_gpus=0, eval_only=False)
    with pytest.raises(ValueError, match=says):
        setup_cfg(args)
    assert not (tmp_path / "out").exists()


def test_ignored_label_has_one_value(custom):
    cfg = custom(ignore_label=254)
    refused(cfg, "IGNORE_VALUE is 255 but my_train has ignore_label 254")
    cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 254
    task_of(cfg).check_datasets(is_train=True)


def test_name_that_is_not_registered(custom):
    cfg = custom("DATASETS.TRAIN", "('my_trian',)")
    refused(cfg, r"registered as my_trian \(near: my_train.*CUSTOM")
    task_of(cfg).check_datasets(is_train=False)
    assert "my_trian" not in MetadataCatalog.list()


def test_flip_that_does_not_swap_labels(custom):
    keys = ["INPUT.SEM_SEG_MAPPER", "detectron2"]
    cfg = custom(*keys, classes=SIDES, flip_label_pairs=((1, 2),))
    refused(cfg, "my_train needs the label-swapping flip, .*MAPPER vt_seg")
    task_of(cfg).check_datasets(is_train=False)
    cfg.INPUT.RANDOM_FLIP = "none"
    task_of(cfg).check_datasets(is_train=True)


@pytest.mark.parametrize("flip", ["horizontal", "vertical"])
def test_flip_in_training_needs_the_pairs(custom, flip):
    cfg = custom("INPUT.RANDOM_FLIP", flip)
    without_pairs("my_train")
    refused(cfg, r"set flip_label_pairs \[\[1, 2\]\].*, or INPUT.RANDOM_FLIP none")


def test_registered_eyes_need_the_pairs_in_training_and_test(custom):
    cfg = custom("TEST.AUG.ENABLED", "True")
    eyes = ["skin", "l_eye", "r_eye"]
    for name in ("my_train", "my_val"):
        MetadataCatalog.get(name).set(evaluator_type="sem_seg").stuff_classes[:] = eyes
        del MetadataCatalog.get(name).flip_label_pairs
    says = r"l_eye and r_eye \(labels 1 and 2\) .*set flip_label_pairs \[\[1, 2\]\].*"
    refused(cfg, f"my_train: {says}RANDOM_FLIP none\nmy_val: {says}TEST.AUG.FLIP False")
    MetadataCatalog.get("my_train").flip_label_pairs = ((1, 2),)
    MetadataCatalog.get("my_val").flip_label_pairs = ()  # said to be none
    task_of(cfg).check_datasets(is_train=True)


def test_flip_in_a_test_needs_the_pairs_too(custom):
    cfg = custom("TEST.AUG.ENABLED", "True")
    without_pairs("my_val")
    refused(cfg, r"set flip_label_pairs \[\[1, 2\]\].*, or TEST.AUG.FLIP False", is_train=False)
    cfg.TEST.AUG.FLIP = False
    task_of(cfg).check_datasets(is_train=False)


def test_classes_in_another_order(custom):
    cfg = custom()
    custom(names=["my_val"], classes=["ground", "water", "tree"])
    refused(cfg, "class water is label 2 in my_train but 1 in my_val")


@pytest.mark.parametrize("seed", [0, -1])
def test_loaders_refuse_masks_of_other_names(custom, tmp_path, seed):
    """Detectron2 zips folders of one length; neither training nor evaluation may start so."""
    cfg = custom("SEED", str(seed), "DATALOADER.NUM_WORKERS", "0")
    folders = str(tmp_path / "masks"), str(tmp_path / "images")
    (tmp_path / "masks/a.png").rename(tmp_path / "masks/x.png")
    for name in ("my_train", "my_val"):
        DatasetCatalog.remove(name)
        DatasetCatalog.register(name, lambda: load_sem_seg(*folders))
    says = "my_{}: 3 of 3 images are paired with a mask of another name, .*a.jpg with .*b.png"
    with pytest.raises(ValueError, match=says.format("train")):
        build_train_loader(cfg)
    with pytest.raises(ValueError, match=says.format("val")):
        build_test_loader(cfg, "my_val")


@pytest.mark.parametrize("mapper", ["vt_seg", "detectron2"])
def test_masks_that_are_ignored_in_every_pixel(custom, tmp_path, mapper):
    cfg = custom("INPUT.SEM_SEG_MAPPER", mapper)
    task_of(cfg).check_labelled()
    for name in "abc":
        write_png(tmp_path / f"masks/{name}.png", IGNORED)
    says = rf"^my_train has nothing to learn .* its 3 masks \(the first is {tmp_path}/masks/a.png\)"
    with pytest.raises(ValueError, match=says):
        task_of(cfg).check_labelled()
    mask = IGNORED.copy()
    mask[31, 31] = 1  # One labelled pixel in the last mask is enough.
    write_png(tmp_path / "masks/c.png", mask)
    task_of(cfg).check_labelled()


def test_every_training_set_needs_a_label(custom, tmp_path):
    write_png(tmp_path / "ignored/a.png", IGNORED)
    write_png(tmp_path / "alone/a.jpg", gradient(32, 32))
    cfg = custom("DATASETS.TRAIN", "('my_train', 'my_ignored')")
    register_sem_seg("my_ignored", tmp_path / "alone", tmp_path / "ignored", classes=CLASSES)
    try:
        with pytest.raises(ValueError, match=r"my_ignored has nothing to learn .* its 1 masks"):
            task_of(cfg).check_labelled()
    finally:
        unregister("my_ignored")


def test_only_masks_up_to_the_first_label_are_read(custom, tmp_path):
    cfg = custom()
    (tmp_path / "masks/b.png").write_bytes(b"broken")
    task_of(cfg).check_labelled()
    write_png(tmp_path / "masks/a.png", IGNORED)
    with pytest.raises(ValueError, match=r"b.png is text, not an image"):
        task_of(cfg).check_labelled()


def test_named_pipe_as_mask_is_refused_with_detectron2s_mapper(custom, tmp_path):
    cfg = custom("INPUT.SEM_SEG_MAPPER", "detectron2")
    (tmp_path / "masks/a.png").unlink()
    os.mkfifo(tmp_path / "masks/a.png")
    with pytest.raises(ValueError, match=r"masks/a\.png is a named pipe; only regular files"):
        task_of(cfg).check_labelled()


@pytest.fixture
def kinds(tmp_path):
    """``kinds(overrides, **folders)`` makes image folders and the classifier's config of them."""

    def make(*overrides, **folders):
        entries = []
        for name, classes in {"kind_train": "abc", "kind_val": "abc", **folders}.items():
            for kind in classes:
                write_png(tmp_path / name / kind / "1.png", gradient(8, 8))
            entries.append({"NAME": name, "IMAGE_FOLDER": str(tmp_path / name)})
        mine = ["DATASETS.TRAIN", "('kind_train',)", "DATASETS.TEST", "('kind_val',)"]
        keys = [*mine, "DATASETS.CUSTOM", str(entries), "MODEL.CLASSIFIER.NUM_CLASSES", "3"]
        return load_cfg("configs/resnet_R18_shapes.yaml", [*keys, *overrides])

    yield make
    unregister("kind_train", "kind_val")


def test_number_of_class_folders(kinds):
    task_of(kinds()).check_datasets(is_train=True)
    key = "MODEL.CLASSIFIER.NUM_CLASSES"
    line = f"{key} is 1000 but kind_{{}} has 3 classes: set {key} 3"
    refused(kinds(key, "1000"), f"^{line.format('train')}\n{line.format('val')}$")


@pytest.mark.parametrize("is_train", [True, False])
def test_class_folders_that_differ(kinds, is_train):
    says = (
        r"kind_val \(.*/kind_val\) has other classes than kind_train \(.*: it lacks 1 \(c\) and a"
    )
    refused(kinds(kind_val="abd"), says, is_train)


def test_flip_of_classes_that_are_mirror_images(kinds):
    folders = {name: ["hand_l", "hand_r", "x"] for name in ("kind_train", "kind_val")}
    says = "hand_l and hand_r of kind_train are mirror images .*set INPUT.RANDOM_FLIP none$"
    refused(kinds("INPUT.RANDOM_FLIP", "horizontal", **folders), says)
    task_of(kinds("INPUT.RANDOM_FLIP", "none", **folders)).check_datasets(is_train=True)


def test_class_folders_in_another_order(kinds):
    cfg = kinds()
    folder = MetadataCatalog.get("kind_val").image_root
    register_image_folder("kind_val", folder, classes=["c", "b", "a"])
    refused(cfg, "the same names in another order; give both one list")


def test_evaluation_needs_no_training_images(kinds, tmp_path):
    cfg = kinds(kind_val="abd")
    (tmp_path / "kind_train").rename(tmp_path / "elsewhere")
    task_of(cfg).check_datasets(is_train=False)
    refused(cfg, f"kind_train: no folder {tmp_path}/kind_train", error=FileNotFoundError)


def test_datasets_that_are_wrong_for_the_model(kinds):
    wrong_kind = kinds("DATASETS.TEST", "('vt_scenes_val',)")
    refused(wrong_kind, "vt_scenes_val is no dataset for classification, which")
    no_masks = load_cfg(CONFIG, ["DATASETS.TEST", "('vt_shapes_val',)"])
    refused(no_masks, "vt_shapes_val holds a folder of images per class and no")
    unknown = kinds("DATASETS.TEST", "('kind_vall',)")
    refused(unknown, r"registered as kind_vall \(near: kind_val.*IMAGE_FOLDER")


def test_tools_for_masks_refuse_classifiers(kinds):
    task_of(load_cfg(CONFIG)).require_segmentation()
    with pytest.raises(ValueError, match="ImageClassifier classifies images; this tool is for sem"):
        task_of(kinds()).require_segmentation()
