"""What a classifier reads of an image, compared with torchvision's own pipelines."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from vt_seg.data import ClassificationMapper
from vt_seg.engine import load_cfg

from .image_files import gradient, write_png


@pytest.fixture
def picture(tmp_path):
    """A smooth colourful image, 300 x 400 pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
    return write_png(tmp_path / "picture.png", cv2.resize(noise, (400, 300)))


def decoded(file):
    return v2.functional.pil_to_tensor(Image.open(file))


def mapped(cfg, file, is_train=False, **record):
    return ClassificationMapper(cfg, is_train)({"file_name": file, "label": 3, **record})


def make_cfg(*overrides):
    return load_cfg("", ["INPUT.FORMAT", "RGB", *map(str, overrides)])


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_inference_is_torchvisions(picture, image_format):
    record = mapped(make_cfg("INPUT.FORMAT", image_format), picture, image_id=7)
    theirs = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])(decoded(picture))
    image = record.pop("image")
    assert (image.dtype, image.is_contiguous()) == (torch.uint8, True)
    assert torch.equal(image, theirs if image_format == "RGB" else theirs.flip(0))
    given = {"file_name": picture, "label": 3, "image_id": 7}
    assert record == {**given, "height": 300, "width": 400}


@pytest.mark.parametrize(
    ("flip", "theirs"),
    [
        ("horizontal", v2.RandomHorizontalFlip()),
        ("vertical", v2.RandomVerticalFlip()),
        ("none", v2.Identity()),
    ],
)
def test_training_is_torchvisions(picture, flip, theirs):
    """The same random numbers give the same images; BGR only after all transforms."""
    keys = {"CROP_SIZE": 96, "AUTO_AUGMENT": "imagenet", "COLOR_JITTER": 0.4}
    keys["RANDOM_RESIZED_CROP_SCALE"] = (0.3, 0.6)
    pairs = [x for key, value in keys.items() for x in (f"INPUT.CLASSIFICATION.{key}", value)]
    cfg = make_cfg(*pairs, "INPUT.FORMAT", "BGR", "INPUT.RANDOM_FLIP", flip)
    mapper = ClassificationMapper(cfg, True)
    crop, jitter = v2.RandomResizedCrop(96, scale=(0.3, 0.6)), v2.ColorJitter(0.4, 0.4, 0.4)
    pipeline = v2.Compose([crop, theirs, v2.AutoAugment(), jitter])
    # Channels last, as our reader gives them: the same kernels of torch's resize.
    tensor = decoded(picture).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    for seed in range(12):
        torch.manual_seed(seed)
        image = mapper({"file_name": picture, "label": 0})["image"]
        torch.manual_seed(seed)
        assert image.shape == (3, 96, 96)
        assert torch.equal(image, pipeline(tensor).flip(0))


def test_images_of_all_kinds(tmp_path):
    grey = write_png(tmp_path / "grey.png", gradient(40, 60)[..., 0])
    rotated = write_png(tmp_path / "rotated.jpg", gradient(40, 60), orientation=6)
    for file, size in ((grey, (40, 60)), (rotated, (60, 40))):
        out = mapped(make_cfg(), file)
        assert (out["image"].shape, (out["height"], out["width"])) == ((3, 224, 224), size)
    with pytest.raises(FileNotFoundError, match=r"gone.jpg"):
        mapped(make_cfg(), str(tmp_path / "gone.jpg"))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("INPUT.FORMAT", "L", 'INPUT.FORMAT is "L": classifiers take'),
        ("INPUT.RANDOM_FLIP", "diagonal", 'INPUT.RANDOM_FLIP is "diagonal": use "none"'),
        ("INPUT.CLASSIFICATION.AUTO_AUGMENT", "best", '"best": use "" or one of imagenet, cifar'),
        ("INPUT.CLASSIFICATION.COLOR_JITTER", "2.0", "COLOR_JITTER is 2.0: give 0 to 1"),
        ("INPUT.CLASSIFICATION.RANDOM_RESIZED_CROP_SCALE", "(0.0, 1.0)", "smallest and the larg"),
        ("INPUT.CLASSIFICATION.CROP_SIZE", "300", "CROP_SIZE 300 is more than RESIZE_SIZE 256"),
    ],
)
def test_wrong_keys_are_refused(key, value, says):
    cfg = make_cfg()
    cfg.merge_from_list([key, value])
    with pytest.raises(ValueError, match=says):
        ClassificationMapper(cfg, "CROP_SIZE" not in key)
