import copy
import pickle

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper, MetadataCatalog
from detectron2.data import transforms as T

from vt_seg.data import SemSegMapper, model_input

from ..small_configs import small_cfg
from .image_files import gradient, write_png

LABELS = np.arange(20, dtype=np.uint8).reshape(4, 5)


def make_cfg(num_classes=20, fixed_size=(4, 5), flip="none", **keys):
    """Return the config of a mapper; ``keys`` are those of ``INPUT.AFFINE``."""
    cfg = small_cfg("INPUT.FIXED_SIZE", fixed_size, "INPUT.RANDOM_FLIP", flip)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_classes
    cfg.DATASETS.TRAIN = ()
    if keys:
        cfg.MODEL.META_ARCHITECTURE = "UnwarpingSemanticSegmentor"
        cfg.merge_from_list(
            [x for key, value in keys.items() for x in (f"INPUT.AFFINE.{key}", value)]
        )
    return cfg


def make_record(folder, mask=LABELS, **mask_options):
    return {
        "file_name": write_png(folder / "image.png", gradient(4, 5)),
        "sem_seg_file_name": write_png(folder / "mask.png", mask, **mask_options),
        "image_id": "one",
    }


def test_training_gives_image_and_labels(tmp_path):
    record = make_record(tmp_path, palette=True)
    before = copy.deepcopy(record)
    out = SemSegMapper(make_cfg(), True)(record)
    assert record == before
    assert (out["image"].dtype, out["sem_seg"].dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(out["image"], gradient(4, 5)[..., ::-1].transpose(2, 0, 1))
    np.testing.assert_array_equal(out["sem_seg"], LABELS)
    assert (out["height"], out["width"], out["image_id"]) == (4, 5, "one")


def test_inference_gives_the_image_only_and_needs_no_mask(tmp_path):
    record = make_record(tmp_path)
    out = SemSegMapper(make_cfg(fixed_size=(8, 7)), False)(record)
    assert out.keys() == {"file_name", "image_id", "image", "height", "width"}
    assert out["image"].shape == (3, 8, 7)
    assert (out["height"], out["width"]) == (4, 5)  # predictions go back to the file's size
    del record["sem_seg_file_name"]
    SemSegMapper(make_cfg(), False)(record)
    with pytest.raises(KeyError, match=r"image.png has no sem_seg_file_name"):
        SemSegMapper(make_cfg(), True)(record)


@pytest.mark.parametrize(("sizes", "most"), [((12, 16, 20), 1), ((2, 3), 0)])
def test_agrees_with_detectron2_on_plain_files(tmp_path, sizes, most):
    """Enlarged images to one grey level, shrunk ones exactly; labels exactly."""
    cfg = make_cfg(fixed_size=(), flip="horizontal")
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = sizes, 24
    record = make_record(tmp_path)
    for seed in range(6):
        np.random.seed(seed)
        ours = SemSegMapper(cfg, True)(record)
        np.random.seed(seed)
        theirs = DatasetMapper(cfg, True)(record)
        difference = ours["image"].int() - theirs["image"].int()
        assert difference.abs().max() <= most
        assert torch.equal(ours["sem_seg"], theirs["sem_seg"])


def test_exif_rotates_image_and_mask_alike(tmp_path):
    record = {
        "file_name": write_png(tmp_path / "a.png", gradient(4, 5), orientation=6),
        "sem_seg_file_name": write_png(tmp_path / "m.png", LABELS, orientation=6),
    }
    out = SemSegMapper(make_cfg(fixed_size=(5, 4)), True)(record)
    upright = np.rot90(gradient(4, 5), -1)[..., ::-1]
    np.testing.assert_array_equal(out["image"], upright.transpose(2, 0, 1))
    np.testing.assert_array_equal(out["sem_seg"], np.rot90(LABELS, -1))
    assert (out["height"], out["width"]) == (5, 4)


def test_wrong_label_is_an_error_that_names_the_file(tmp_path):
    mapper = SemSegMapper(make_cfg(num_classes=19), True)
    with pytest.raises(ValueError, match=r"mask.png holds label 19 .*num_classes is 19"):
        mapper(make_record(tmp_path))


def test_ignore_value_comes_from_the_config(tmp_path):
    cfg = make_cfg(num_classes=19)
    cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 19
    assert SemSegMapper(cfg, True)(make_record(tmp_path))["sem_seg"].max() == 19


def test_size_mismatch_names_both_files_and_sizes(tmp_path):
    record = make_record(tmp_path, mask=np.zeros((5, 4), np.uint8))
    with pytest.raises(ValueError, match=r"image.png is 5x4, its mask .*mask.png is 4x5"):
        SemSegMapper(make_cfg(), True)(record)


def test_flip_pairs_come_from_the_training_datasets():
    names = ("test_mapper_pairs", "test_mapper_same_pairs", "test_mapper_no_pairs")
    MetadataCatalog.get(names[0]).flip_label_pairs = pairs = ((14, 15), (16, 17), (18, 19))
    MetadataCatalog.get(names[1]).flip_label_pairs = [[19, 18], [16, 17], [14, 15]]
    cfg = make_cfg(flip="horizontal")
    try:
        cfg.DATASETS.TRAIN = names[:2]
        assert SemSegMapper(cfg, True).augmentations.augs[-1].label_pairs == pairs
        cfg.DATASETS.TRAIN = (names[0], names[2])
        with pytest.raises(ValueError, match=r"different flip_label_pairs.*test_mapper_no_pairs"):
            SemSegMapper(cfg, True)
    finally:
        for name in names:
            MetadataCatalog.pop(name, None)


def test_is_picklable_for_loader_workers(tmp_path):
    mapper = pickle.loads(pickle.dumps(SemSegMapper(make_cfg(), True)))
    assert mapper(make_record(tmp_path))["sem_seg"].shape == (4, 5)


def test_warp_is_returned_in_tests_only(tmp_path):
    cfg = make_cfg(fixed_size=(), ENABLED=True, SIZE=(10, 10))
    record = make_record(tmp_path)
    out = SemSegMapper(cfg, False)(record)
    # 4 x 5 on 10 x 10: twice as large, one row of border above and below.
    np.testing.assert_allclose(out["warp"], [[2, 0, 0], [0, 2, 1]])
    assert out["image"].shape == (3, 10, 10)
    assert (out["height"], out["width"]) == (4, 5)
    # Red is the row's number. Row 0 of the canvas lies above the first, row 7 within the last.
    assert not out["image"][2, 0].any()
    assert (out["image"][2, 7, 1:-1] == 3).all()
    cfg.INPUT.AFFINE.SCALE = cfg.INPUT.AFFINE.ROTATION = 0.0
    out = SemSegMapper(cfg, True)(record)
    assert "warp" not in out
    expected = np.full((10, 10), 255)
    expected[1:9] = LABELS.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(out["sem_seg"], expected)


@pytest.mark.parametrize("view", [np.s_[:], np.s_[:, ::-1], np.s_[::-1], np.s_[::2, ::-1]])
def test_channels_come_first_whatever_the_memory_order(view):
    image = gradient(7, 9)[view]
    for given in (image, image[..., ::-1], image[..., :1]):
        tensors = model_input(given, T.AugmentationList([]), given[..., 0])
        np.testing.assert_array_equal(tensors["image"], given.transpose(2, 0, 1))
        np.testing.assert_array_equal(tensors["sem_seg"], given[..., 0])
        assert set(tensors) == {"image", "sem_seg"}
