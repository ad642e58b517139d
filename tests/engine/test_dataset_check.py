"""A config and its datasets must fit; what to set is said before a model is built."""

import argparse
import os

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_sem_seg

from vt_seg.data import register_sem_seg
from vt_seg.data.datasets.registration import unregister
from vt_seg.engine import check_datasets, load_cfg, require_segmentation, setup_cfg
from vt_seg.engine.data_loaders import build_test_loader, build_train_loader
from vt_seg.engine.tasks import task_of

from ..data.image_files import gradient, write_png

CONFIG = "configs/vtfpn_R18_scenes.yaml"
CLASSES = ["ground", "tree", "water"]


@pytest.fixture
def custom(tmp_path):
    """Registers my_train and my_val, and gives the config that names them."""
    for name in "abc":
        write_png(tmp_path / f"images/{name}.jpg", gradient(32, 32))
        write_png(tmp_path / f"masks/{name}.png", np.zeros((32, 32), np.uint8))

    def make(overrides=(), **metadata):
        for name in ("my_train", "my_val"):
            folders = str(tmp_path / "images"), str(tmp_path / "masks")
            register_sem_seg(name, *folders, **{"classes": CLASSES, **metadata})
        mine = ["DATASETS.TRAIN", "('my_train',)", "DATASETS.TEST", "('my_val',)"]
        return load_cfg(CONFIG, [*mine, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", *overrides])

    yield make
    unregister("my_train", "my_val")


def test_what_fits_passes(custom):
    check_datasets(custom(), is_train=True)
    check_datasets(load_cfg("configs/vtfpn_R50_lip.yaml"), is_train=True)
    check_datasets(load_cfg("configs/panoptic_vtfpn_R50.yaml"), is_train=True)
    check_datasets(load_cfg("configs/mask_rcnn_vtfpn_R50.yaml"), is_train=True)


def test_number_of_classes(custom):
    cfg = custom(["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "54"])
    with pytest.raises(ValueError) as error:
        check_datasets(cfg, is_train=True)
    assert str(error.value).splitlines() == [
        f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is 54 but {name} has 3 classes: "
        "set MODEL.SEM_SEG_HEAD.NUM_CLASSES 3"
        for name in ("my_train", "my_val")
    ]


def test_it_is_checked_before_a_run_begins(custom, tmp_path):
    custom()
    names = ["DATASETS.TRAIN", "('my_train',)", "DATASETS.TEST", "('my_val',)"]
    output = tmp_path / "out"
    opts = [*names, "OUTPUT_DIR", str(output)]
    args = argparse.Namespace(config_file=CONFIG, opts=opts, num_gpus=0, eval_only=False)
    with pytest.raises(ValueError, match="NUM_CLASSES is 14 but my_train has 3 classes"):
        setup_cfg(args)
    assert not output.exists()


def test_ignored_label_has_one_value(custom):
    cfg = custom(ignore_label=254)
    with pytest.raises(ValueError, match="IGNORE_VALUE is 255 but my_train has ignore_label 254"):
        check_datasets(cfg, is_train=True)
    cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 254
    check_datasets(cfg, is_train=True)


def test_name_that_is_not_registered(custom):
    cfg = custom(["DATASETS.TRAIN", "('my_trian',)"])
    with pytest.raises(ValueError, match=r"registered as my_trian \(near: my_train.*CUSTOM"):
        check_datasets(cfg, is_train=True)
    check_datasets(cfg, is_train=False)
    assert "my_trian" not in MetadataCatalog.list()


def test_flip_that_does_not_swap_labels(custom):
    sides = {"classes": ["sky", "left wing", "right wing"], "flip_label_pairs": ((1, 2),)}
    cfg = custom(["INPUT.SEM_SEG_MAPPER", "detectron2"], **sides)
    with pytest.raises(ValueError, match="my_train needs the label-swapping flip, .*MAPPER vt_seg"):
        check_datasets(cfg, is_train=True)
    check_datasets(cfg, is_train=False)
    cfg.INPUT.RANDOM_FLIP = "none"
    check_datasets(cfg, is_train=True)


def set_metadata_without_pairs(name):
    """Metadata of somebody else's registration: left and right classes, no flip_label_pairs."""
    MetadataCatalog.remove(name)
    classes = ["sky", "left wing", "right wing"]
    MetadataCatalog.get(name).set(stuff_classes=classes, ignore_label=255, evaluator_type="sem_seg")


def test_metadata_of_others_without_flip_pairs(custom):
    cfg = custom()
    set_metadata_without_pairs("my_train")
    for flip in ("horizontal", "vertical"):
        cfg.INPUT.RANDOM_FLIP = flip
        with pytest.raises(
            ValueError, match=r"set flip_label_pairs \(\(1, 2\),\), or INPUT.RANDOM_FL"
        ):
            check_datasets(cfg, is_train=True)


def test_flipping_in_a_test_needs_the_pairs_too(custom):
    cfg = custom()
    set_metadata_without_pairs("my_val")
    cfg.TEST.AUG.ENABLED = True
    with pytest.raises(
        ValueError, match=r"set flip_label_pairs \(\(1, 2\),\), or TEST.AUG.FLIP Fal"
    ):
        check_datasets(cfg, is_train=False)
    cfg.TEST.AUG.FLIP = False
    check_datasets(cfg, is_train=False)


def test_classes_in_another_order(custom, tmp_path):
    cfg = custom()
    folders = str(tmp_path / "images"), str(tmp_path / "masks")
    register_sem_seg("my_val", *folders, ["ground", "water", "tree"])
    with pytest.raises(ValueError, match="class water is label 2 in my_train but 1 in my_val"):
        check_datasets(cfg, is_train=True)


@pytest.mark.parametrize("seed", [0, -1])
def test_loaders_refuse_masks_of_other_names(custom, tmp_path, seed):
    """Detectron2 zips folders of one length; neither training nor evaluation may start so."""
    cfg = custom(["SEED", str(seed), "DATALOADER.NUM_WORKERS", "0"])
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
    cfg = custom(["INPUT.SEM_SEG_MAPPER", mapper])
    task_of(cfg).check_labelled()
    for name in "abc":
        write_png(tmp_path / f"masks/{name}.png", np.full((32, 32), 255, np.uint8))
    with pytest.raises(ValueError) as error:
        task_of(cfg).check_labelled()
    assert str(error.value).startswith(
        f"my_train has nothing to learn from: in all of its 3 masks (the first is {tmp_path}/masks/"
        "a.png) every pixel is 255, MODEL.SEM_SEG_HEAD.IGNORE_VALUE."
    )
    # One labelled pixel in the last mask is enough.
    mask = np.full((32, 32), 255, np.uint8)
    mask[31, 31] = 1
    write_png(tmp_path / "masks/c.png", mask)
    task_of(cfg).check_labelled()


def test_every_training_set_needs_a_label(custom, tmp_path):
    write_png(tmp_path / "ignored/a.png", np.full((32, 32), 255, np.uint8))
    write_png(tmp_path / "alone/a.jpg", gradient(32, 32))
    cfg = custom(["DATASETS.TRAIN", "('my_train', 'my_ignored')"])
    folders = str(tmp_path / "alone"), str(tmp_path / "ignored")
    register_sem_seg("my_ignored", *folders, classes=CLASSES)
    try:
        with pytest.raises(
            ValueError, match="my_ignored has nothing to learn from: .* its 1 masks"
        ):
            task_of(cfg).check_labelled()
    finally:
        unregister("my_ignored")


def test_a_training_is_refused_before_it_begins(custom, tmp_path):
    for name in "abc":
        write_png(tmp_path / f"masks/{name}.png", np.full((32, 32), 255, np.uint8))
    custom()
    mine = ["DATASETS.TRAIN", "('my_train',)", "DATASETS.TEST", "('my_val',)"]
    opts = [*mine, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", "OUTPUT_DIR", str(tmp_path / "out")]
    args = argparse.Namespace(config_file=CONFIG, opts=opts, num_gpus=0, eval_only=False)
    with pytest.raises(ValueError, match="my_train has nothing to learn from"):
        setup_cfg(args)
    assert not (tmp_path / "out").exists()


def test_only_masks_up_to_the_first_label_are_read(custom, tmp_path):
    cfg = custom()
    (tmp_path / "masks/b.png").write_bytes(b"broken")
    task_of(cfg).check_labelled()
    write_png(tmp_path / "masks/a.png", np.full((32, 32), 255, np.uint8))
    with pytest.raises(ValueError, match="b.png is truncated or not an image"):
        task_of(cfg).check_labelled()


# Classification

CLASS_FOLDERS = {"kind_train": "abc", "kind_val": "abc"}


@pytest.fixture
def kinds(tmp_path):
    """``kinds(overrides, **folders)`` makes image folders and the classifier's config of them."""

    def make(*overrides, **folders):
        entries = []
        for name, classes in {**CLASS_FOLDERS, **folders}.items():
            for kind in classes:
                write_png(tmp_path / name / kind / "1.png", gradient(8, 8))
            entries.append({"NAME": name, "IMAGE_FOLDER": str(tmp_path / name)})
        mine = ["DATASETS.TRAIN", "('kind_train',)", "DATASETS.TEST", "('kind_val',)"]
        keys = [*mine, "DATASETS.CUSTOM", str(entries), "MODEL.CLASSIFIER.NUM_CLASSES", "3"]
        return load_cfg("configs/resnet_R18_shapes.yaml", [*keys, *overrides])

    yield make
    unregister(*CLASS_FOLDERS)


def test_classification_that_fits_passes(kinds):
    check_datasets(kinds(), is_train=True)


def test_number_of_class_folders(kinds):
    cfg = kinds("MODEL.CLASSIFIER.NUM_CLASSES", "1000")
    with pytest.raises(ValueError) as error:
        check_datasets(cfg, is_train=True)
    assert str(error.value).splitlines() == [
        f"MODEL.CLASSIFIER.NUM_CLASSES is 1000 but {name} has 3 classes: set "
        "MODEL.CLASSIFIER.NUM_CLASSES 3"
        for name in ("kind_train", "kind_val")
    ]


@pytest.mark.parametrize("is_train", [True, False])
def test_class_folders_that_differ(kinds, tmp_path, is_train):
    cfg = kinds(kind_val="abd")
    with pytest.raises(ValueError) as error:
        check_datasets(cfg, is_train=is_train)
    assert f"kind_val ({tmp_path}/kind_val) has other classes than kind_train" in str(error.value)
    assert "it lacks 1 (c) and adds 1 (d)" in str(error.value)


def test_evaluation_needs_no_training_images(kinds, tmp_path):
    cfg = kinds(kind_val="abd")
    (tmp_path / "kind_train").rename(tmp_path / "elsewhere")
    check_datasets(cfg, is_train=False)
    with pytest.raises(FileNotFoundError, match=f"kind_train: no folder {tmp_path}/kind_train"):
        check_datasets(cfg, is_train=True)


def test_models_and_datasets_of_two_kinds(kinds):
    cfg = kinds("DATASETS.TEST", "('vt_scenes_val',)")
    with pytest.raises(ValueError, match="vt_scenes_val is no dataset for classification, which"):
        check_datasets(cfg, is_train=True)
    cfg = load_cfg(CONFIG, ["DATASETS.TEST", "('vt_shapes_val',)"])
    with pytest.raises(ValueError, match="vt_shapes_val holds a folder of images per class and no"):
        check_datasets(cfg, is_train=True)


def test_an_image_folder_that_is_not_registered(kinds):
    with pytest.raises(ValueError, match=r"registered as kind_vall \(near: kind_val.*IMAGE_FOLDER"):
        check_datasets(kinds("DATASETS.TEST", "('kind_vall',)"), is_train=True)


def test_tools_for_masks_refuse_classifiers(kinds):
    require_segmentation(load_cfg(CONFIG))
    with pytest.raises(ValueError, match="ImageClassifier classifies images; this tool is for sem"):
        require_segmentation(kinds())


def test_a_named_pipe_as_mask_is_refused_with_detectron2s_mapper(custom, tmp_path):
    cfg = custom(["INPUT.SEM_SEG_MAPPER", "detectron2"])
    assert len(DatasetCatalog.get("my_train")) == 3
    (tmp_path / "masks/a.png").unlink()
    os.mkfifo(tmp_path / "masks/a.png")
    with pytest.raises(ValueError, match=r"masks/a\.png is a named pipe; only regular files"):
        task_of(cfg).check_labelled()
