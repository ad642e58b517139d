"""INPUT.AUGMENTATIONS: callables and transforms of three libraries, in the order of the config."""

import os
import re
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from torchvision.transforms import v2

from tests.small_configs import small_cfg
from tests.tiny_datasets import write_blocks
from vt_seg import user_modules
from vt_seg.data import build_augmentations, register_sem_seg, unregister
from vt_seg.engine import build_train_loader, task_of

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # Importing it would ask a server otherwise.
albumentations = pytest.importorskip("albumentations")

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
MASK = np.random.default_rng(1).integers(0, 5, (32, 48), np.uint8)
ALBUMENTATIONS, TORCHVISION = "albumentations", "torchvision.transforms.v2"
DETECTRON2 = "detectron2.data.transforms"


def halve(image, mask, factor=0.5):
    assert image.flags.writeable
    assert mask.flags.writeable
    return (image * factor).astype(np.uint8), mask


def mirrored(image, mask):
    return image[:, ::-1], mask[:, ::-1].astype(np.int64)


def blue_to_zero(image, mask):
    image[..., 2] = 0
    return image, mask


class Shift:
    def __init__(self, by=1):
        self.by = by

    def __call__(self, image, mask):
        return np.roll(image, self.by, 1), np.roll(mask, self.by, 1)


def random_levels(image, mask):
    drawn = np.random.randint(256), int(torch.randint(256, ()))
    return np.full_like(image, drawn[0]) ^ np.uint8(drawn[1]), mask


RESULTS = {
    "as_dict": lambda image, mask: {"image": image},
    "as_float": lambda image, mask: (image / 255, mask),
    "grey": lambda image, mask: (image[..., 0], mask),
    "image_alone": lambda image, mask: (image[::2], mask),
    "interpolated": lambda image, mask: (image, mask / 2),
    "unknown_label": lambda image, mask: (image, mask + 5),
    "negative": lambda image, mask: (image, mask.astype(int) - 9),
    "raises": lambda image, mask: (image.no_such, mask),
}


@pytest.fixture(autouse=True)
def my_ideas(monkeypatch):
    """A module that ``--import my_ideas`` imported."""
    module = ModuleType("my_ideas")
    parts = (halve, mirrored, blue_to_zero, Shift, random_levels)
    for part in (*parts, *RESULTS.values()):
        monkeypatch.setattr(part, "__module__", "my_ideas")
    vars(module).update({part.__name__: part for part in parts}, **RESULTS)
    module.v2 = v2.Compose([v2.RandomHorizontalFlip(1.0)])
    module.compose = albumentations.Compose([albumentations.HorizontalFlip(p=1)], seed=3)
    module.number = 3
    monkeypatch.setitem(sys.modules, "my_ideas", module)
    monkeypatch.setattr(user_modules, "_imported", {"my_ideas": module})


def augmented(*entries, image=IMAGE, **overrides):
    """Return image and mask after the augmentations alone of a config."""
    cfg = small_cfg("INPUT.RANDOM_FLIP", "none", *overrides.get("keys", ()))
    cfg.INPUT.AUGMENTATIONS = list(entries)
    own = build_augmentations(cfg, True, overrides.get("pairs", ()))[1:]
    inputs = T.AugInput(image, sem_seg=MASK)
    T.AugmentationList(own)(inputs)
    return inputs.image, inputs.sem_seg


@pytest.mark.parametrize(
    "entry",
    [
        "my_ideas.mirrored",
        "my_ideas.v2",
        "my_ideas.compose",
        {"NAME": f"{TORCHVISION}.RandomHorizontalFlip", "ARGS": {"p": 1.0}},
        {"NAME": f"{ALBUMENTATIONS}.HorizontalFlip", "ARGS": {"p": 1}},
        {"NAME": f"{DETECTRON2}.RandomFlip", "ARGS": {"prob": 1.0}},
        {"NAME": f"{DETECTRON2}.HFlipTransform", "ARGS": {"width": 48}},
        {
            "NAME": f"{ALBUMENTATIONS}.OneOf",
            "ARGS": {"transforms": [{"NAME": f"{ALBUMENTATIONS}.HorizontalFlip"}], "p": 1},
        },
    ],
    ids=str,
)
def test_every_kind_changes_image_and_mask_alike(entry):
    image, mask = augmented(entry)
    np.testing.assert_array_equal(image, IMAGE[:, ::-1])
    np.testing.assert_array_equal(mask, MASK[:, ::-1])
    assert (image.dtype, mask.dtype) == (np.uint8, np.uint8)


def test_arguments_and_order_are_those_of_the_list():
    entry = {"NAME": "my_ideas.halve", "ARGS": {"factor": 0.25}}
    image, mask = augmented(entry, {"NAME": "my_ideas.Shift", "ARGS": {"by": 2}})
    np.testing.assert_array_equal(image, np.roll((IMAGE * 0.25).astype(np.uint8), 2, 1))
    np.testing.assert_array_equal(mask, np.roll(MASK, 2, 1))
    cfg = small_cfg("INPUT.CROP.ENABLED", True, "INPUT.CROP.AFTER_RESIZE", True)
    cfg.INPUT.AUGMENTATIONS, cfg.INPUT.PAD_TO, cfg.INPUT.COLOR_AUG_SSD = [entry], (9, 9), True
    names = [type(x).__name__ for x in build_augmentations(cfg, True)]
    assert names[1:] == [
        "CategoryAreaCrop",
        "UserAugmentation",
        "RandomFlip",
        "ColorJitterSSD",
        "PadTo",
    ]
    assert len(build_augmentations(cfg, False)) == 1


@pytest.mark.parametrize(("image_format", "blue"), [("BGR", 0), ("RGB", 2), ("HSV", 2)])
def test_callables_see_rgb_and_the_image_stays_in_its_format(image_format, blue):
    image, _ = augmented("my_ideas.blue_to_zero", keys=("INPUT.FORMAT", image_format))
    expected = IMAGE.copy()
    expected[..., blue] = 0
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (f"{TORCHVISION}.RandomRotation", {"degrees": [90, 90]}),
        (f"{ALBUMENTATIONS}.Rotate", {"limit": [90, 90], "p": 1}),
        (f"{ALBUMENTATIONS}.Rotate", {"limit": [90, 90], "p": 1, "fill_mask": 255}),
        (f"{DETECTRON2}.RandomRotation", {"angle": [90, 90], "expand": False}),
    ],
)
@pytest.mark.parametrize("ignored", [255, 7])
def test_labels_that_a_rotation_fills_in_are_ignored(name, arguments, ignored):
    keys = ("MODEL.SEM_SEG_HEAD.IGNORE_VALUE", ignored)
    _, mask = augmented({"NAME": name, "ARGS": arguments}, keys=keys)
    inside = mask[:, 8:40]  # 32 of 48 columns are left of an image rotated by 90 degrees
    assert (mask[:, :7] == ignored).all()
    assert (mask[:, 41:] == ignored).all()
    assert (inside[1:-1, 1:-1] < 5).all()


ENTRIES = {
    "my_ideas.as_dict": "returns dict: return (image, mask), two NumPy arrays",
    "my_ideas.as_float": "makes (32, 48, 3) uint8 (32, 48, 3) float64: keep (H, W, C) uint8",
    "my_ideas.grey": "makes (32, 48, 3) uint8 (32, 48) uint8: keep (H, W, C) uint8",
    "my_ideas.image_alone": "makes an image (16, 48) and a mask (32, 48): change both alike",
    "my_ideas.interpolated": "makes a mask of float64: labels are whole numbers",
    "my_ideas.unknown_label": "makes label 5, 6, 7, 8, 9: return 0..4, or 255 for ignored",
    "my_ideas.negative": "makes label -9, -8, -7, -6, -5: return 0..4",
    "my_ideas.raises": "fails: AttributeError: 'numpy.ndarray' object has no attribute 'no_such'",
    "my_ideas.number": "is a int: name what can be called",
    f"{ALBUMENTATIONS}.Normalize": "makes (32, 48, 3) uint8 (32, 48, 3) float32: keep (H, W, C)",
    f"{ALBUMENTATIONS}.GausNoise": "has no transform GausNoise (near: GaussNoise",
    f"{ALBUMENTATIONS}.load": "albumentations has no transform load",
    f"{DETECTRON2}.RandomExtent": "missing 2 required positional arguments",
    "os.system": "os.system is in no imported module (my_ideas): write MODULE.NAME and add --imp",
}


@pytest.mark.parametrize(("name", "says"), ENTRIES.items())
def test_faults_name_the_augmentation(name, says):
    with pytest.raises(ValueError, match=re.escape(f"INPUT.AUGMENTATIONS {name}")) as error:
        augmented(name)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (3, "has 3: write "),
        ({"NAME": "my_ideas.halve", "P": 1}, 'write "my_ideas.darken" or {NAME:'),
        (
            {"NAME": "my_ideas.v2", "ARGS": {"p": 1}},
            "my_ideas.v2 is an object, which takes no ARGS",
        ),
        (
            {"NAME": f"{ALBUMENTATIONS}.GaussNoise", "ARGS": {"prob": 1}},
            "Argument(s) 'prob' are not",
        ),
        ({"NAME": f"{ALBUMENTATIONS}.GaussNoise", "ARGS": {"p": 3}}, "less than or equal to 1"),
    ],
)
def test_faults_of_an_entry_are_named(entry, says):
    with pytest.raises(ValueError, match=f"INPUT.AUGMENTATIONS .*{re.escape(says)}"):
        augmented(entry)


def test_flips_of_libraries_are_refused_where_labels_are_swapped():
    says = "HorizontalFlip does not swap the labels of flip_label_pairs: set INPUT.RANDOM_FLIP"
    with pytest.raises(ValueError, match=says):
        augmented("albumentations.HorizontalFlip", pairs=[[1, 2]])


@pytest.mark.parametrize(
    "keys", [("INPUT.SEM_SEG_MAPPER", "detectron2"), ("MODEL.META_ARCHITECTURE", "ImageClassifier")]
)
def test_mappers_that_pass_over_augmentations_refuse_them(keys):
    cfg = small_cfg(*keys, "INPUT.AUGMENTATIONS", ["my_ideas.halve"])
    with pytest.raises(ValueError, match=r"INPUT\.AUGMENTATIONS: unknown to"):
        task_of(cfg).build_mapper(is_train=True)


def test_samples_are_the_same_with_any_number_of_workers(tmp_path):
    write_blocks(tmp_path / "images", tmp_path / "masks", list("abcd"), [0, 1, 2])
    register_sem_seg("my_blocks", tmp_path / "images", tmp_path / "masks", ["x", "y", "z"])
    cfg = small_cfg("SEED", 3, "SOLVER.IMS_PER_BATCH", 2, "INPUT.MIN_SIZE_TRAIN", (48,))
    cfg.DATASETS.TRAIN, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = ("my_blocks",), 3
    cfg.INPUT.AUGMENTATIONS = ["my_ideas.random_levels"]
    noise = [f"{ALBUMENTATIONS}.GaussNoise", f"{ALBUMENTATIONS}.Affine"]
    cfg.INPUT.AUGMENTATIONS += [{"NAME": name, "ARGS": {"p": 1}} for name in noise]
    cfg.INPUT.AUGMENTATIONS += ["my_ideas.compose"]
    cfg.INPUT.AUGMENTATIONS += [{"NAME": f"{TORCHVISION}.RandomRotation", "ARGS": {"degrees": 20}}]
    runs = []
    for workers in (0, 2, 0):
        cfg.DATALOADER.NUM_WORKERS = workers
        batches = zip(range(4), build_train_loader(cfg), strict=False)
        runs.append([sample for _, batch in batches for sample in batch])
    unregister("my_blocks")
    for first, second, third in zip(*runs, strict=True):
        for key in ("image", "sem_seg"):
            torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
            torch.testing.assert_close(first[key], third[key], rtol=0, atol=0)
    assert len({int(sample["image"].long().sum()) for sample in runs[0]}) == 8
