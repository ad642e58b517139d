"""What a classifier reads of an image, beside torchvision's own pipelines."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms._presets import ImageClassification

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


def test_inference_is_torchvisions(picture):
    record = mapped(make_cfg(), picture, image_id=7)
    tensor = decoded(picture)
    theirs = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])
    assert record["image"].dtype == torch.uint8
    assert record["image"].is_contiguous()
    assert torch.equal(record["image"], theirs(tensor))
    del record["image"]
    given = {"file_name": picture, "label": 3, "image_id": 7}
    assert record == {**given, "height": 300, "width": 400}


def test_inference_is_the_pipeline_of_torchvisions_weights(picture):
    """On Pillow images, whose resize rounds otherwise in a few pixels."""
    theirs = ImageClassification(crop_size=224, resize_size=256, mean=(0, 0, 0), std=(1, 1, 1))
    expected = theirs(Image.open(picture)) * 255
    difference = (mapped(make_cfg(), picture)["image"] - expected).abs()
    assert difference.max() <= 1 + 1e-4
    assert difference.mean() < 0.01


def test_bgr_is_rgb_turned_over(picture):
    rgb = mapped(make_cfg(), picture)["image"]
    bgr = mapped(make_cfg("INPUT.FORMAT", "BGR"), picture)["image"]
    assert torch.equal(bgr, rgb.flip(0))
    assert not torch.equal(bgr, rgb)


def test_training_is_torchvisions(picture):
    """The same random numbers give the same crop, flip and policy; BGR only after the policy."""
    keys = ["INPUT.CLASSIFICATION.CROP_SIZE", 96, "INPUT.CLASSIFICATION.AUTO_AUGMENT", "imagenet"]
    keys += ["INPUT.CLASSIFICATION.RANDOM_RESIZED_CROP_SCALE", (0.3, 0.6)]
    mapper = ClassificationMapper(make_cfg(*keys, "INPUT.FORMAT", "BGR"), True)
    theirs = v2.Compose(
        [v2.RandomResizedCrop(96, scale=(0.3, 0.6)), v2.RandomHorizontalFlip(), v2.AutoAugment()]
    )
    for seed in range(12):
        torch.manual_seed(seed)
        image = mapper({"file_name": picture, "label": 0})["image"]
        torch.manual_seed(seed)
        # channels last, as our reader gives them: the same kernels of torch's resize
        tensor = decoded(picture).permute(1, 2, 0).contiguous()
        expected = theirs(tensor.permute(2, 0, 1))
        assert image.shape == (3, 96, 96)
        assert torch.equal(image, expected.flip(0))


def test_the_crops_share_of_the_area(tmp_path):
    """Every value of this image occurs once; the crop holds the share of them that is asked for."""
    side = 240
    ys, xs = np.mgrid[:side, :side]
    file = write_png(tmp_path / "xy.png", np.stack([ys, xs, 0 * xs], 2).astype(np.uint8))
    keys = ("INPUT.CLASSIFICATION.RANDOM_RESIZED_CROP_SCALE", (0.25, 0.36))
    mapper = ClassificationMapper(make_cfg(*keys, "INPUT.RANDOM_FLIP", "none"), True)
    for seed in range(20):
        torch.manual_seed(seed)
        red, green, _ = mapper({"file_name": file, "label": 0})["image"].int()
        area = (red.max() - red.min() + 1) * (green.max() - green.min() + 1) / side**2
        assert 0.23 < area < 0.38


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", 2), ("vertical", 1), ("none", None)])
def test_flips(tmp_path, flip, axis):
    file = write_png(tmp_path / "image.png", gradient(64, 64))
    keys = ["INPUT.RANDOM_FLIP", flip, "INPUT.CLASSIFICATION.CROP_SIZE", 64]
    mapper = ClassificationMapper(
        make_cfg(*keys, "INPUT.CLASSIFICATION.RANDOM_RESIZED_CROP_SCALE", (1, 1)), True
    )
    upright = torch.from_numpy(gradient(64, 64)).permute(2, 0, 1)
    seen = set()
    for seed in range(16):
        torch.manual_seed(seed)
        image = mapper({"file_name": file, "label": 0})["image"]
        # An aspect ratio other than 1 does not fit at full scale: the whole image is taken.
        is_flipped = not torch.equal(image, upright)
        assert not is_flipped or (axis is not None and torch.equal(image, upright.flip(axis)))
        seen.add(is_flipped)
    assert seen == ({False} if axis is None else {False, True})


def test_color_jitter(tmp_path):
    grey = np.full((64, 64, 3), 100, np.uint8)
    file = write_png(tmp_path / "grey.png", grey)
    mapper = ClassificationMapper(make_cfg("INPUT.CLASSIFICATION.COLOR_JITTER", 0.4), True)
    values = []
    for seed in range(40):
        torch.manual_seed(seed)
        values.append(int(mapper({"file_name": file, "label": 0})["image"].unique()[0]))
    # Contrast and saturation leave a grey plane as it is, so only brightness shows.
    assert 59 <= min(values) < 70
    assert 130 < max(values) <= 141


def test_images_of_all_kinds(tmp_path):
    grey = write_png(tmp_path / "grey.png", gradient(40, 60)[..., 0])
    turned = write_png(tmp_path / "turned.jpg", gradient(40, 60), orientation=6)
    cmyk = tmp_path / "cmyk.jpg"
    Image.fromarray(gradient(40, 60)).convert("CMYK").save(cmyk)
    for file in (grey, turned, str(cmyk)):
        assert mapped(make_cfg(), file)["image"].shape == (3, 224, 224)
    assert (mapped(make_cfg(), turned)["height"], mapped(make_cfg(), turned)["width"]) == (60, 40)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(ValueError, match=r"broken.jpg is truncated or not an image"):
        mapped(make_cfg(), str(broken))
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
