"""Images of four channels of 16 bits from the files to training, evaluation and prediction."""

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from PIL import Image
from timm.models._manipulate import adapt_input_conv

from tests.engine.conftest import train
from tests.small_configs import SLIM, TINY_SCENES, small_cfg
from tools import validate_dataset, visualize_data
from vt_seg.checkpoint import SegmentationCheckpointer, input_convention
from vt_seg.checkpoint.conversions import adapt_stem
from vt_seg.data import ImageReader, unregister
from vt_seg.engine import SemSegPredictor, load_cfg, task_of
from vt_seg.engine.config_check import config_problems
from vt_seg.prediction import Predictor, predict_files

tifffile = pytest.importorskip("tifffile")
CONFIG = "configs/vtfpn_R18_scenes.yaml"
CHANNELS = {
    "INPUT.IN_CHANNELS": 4,
    "INPUT.DTYPE": "uint16",
    "MODEL.PIXEL_MEAN": [30000.0] * 4,
    "MODEL.PIXEL_STD": [18000.0] * 4,
}
OPTIONS = [str(x) for pair in CHANNELS.items() for x in pair]
TIMM = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "test_resnet"]


@pytest.fixture
def satellite(tmp_path):
    """A config file of eight 4-channel TIFFs of 16 bits, four of them to test on."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for i in range(4):
            mask = np.repeat(rng.permutation(3), 24).astype(np.uint8)[None].repeat(50 + i, axis=0)
            image = rng.integers(0, 60000, (*mask.shape, 4)).astype(np.uint16)
            image[..., 3] = mask.astype(np.uint16) * 20000
            options = {"photometric": "rgb", "compression": "zlib"}
            tifffile.imwrite(tmp_path / split / "images" / f"{i}.tif", image, **options)
            Image.fromarray(mask).save(tmp_path / split / "masks" / f"{i}.png")
    sets = [
        {
            "NAME": f"satellite_{split}",
            "IMAGES": str(tmp_path / split / "images"),
            "MASKS": str(tmp_path / split / "masks"),
            "CLASSES": ["water", "field", "town"],
        }
        for split in ("train", "val")
    ]
    content = {
        "_BASE_": str(Path(CONFIG).resolve()),
        "DATASETS": {
            "CUSTOM": sets,
            "TRAIN": ["satellite_train"],
            "TEST": ["satellite_val"],
        },
    }
    (tmp_path / "satellite.yaml").write_text(yaml.safe_dump(content))
    yield str(tmp_path / "satellite.yaml")
    for one in sets:
        if one["NAME"] in DatasetCatalog.list():
            unregister(one["NAME"])


@pytest.mark.parametrize("backbone", [[], TIMM], ids=["resnet", "timm"])
def test_four_channels_are_trained_evaluated_and_predicted(satellite, tmp_path, backbone):
    weights = []
    if backbone:
        path = tmp_path / "timm.pth"
        torch.save(timm.create_model("test_resnet").state_dict(), path)
        weights = ["MODEL.TIMM.WEIGHTS", str(path)]
    options = [*TINY_SCENES, *SLIM, "OUTPUT_DIR", str(tmp_path / "out"), "MODEL.DEVICE", "cpu"]
    options += ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", *OPTIONS, *backbone, *weights]
    cfg = load_cfg(satellite, options)
    trainer = train(cfg)
    assert trainer.iter == 2
    assert 0 <= trainer.storage.latest()["sem_seg/mIoU"][0] <= 100

    path = tmp_path / "val/images/0.tif"
    cfg.MODEL.WEIGHTS = str(tmp_path / "out" / "model_final.pth")
    predictor = SemSegPredictor(cfg)
    image = predictor.images(path)
    np.testing.assert_array_equal(image, tifffile.imread(path))
    labels = predictor.predict_labels(image)
    assert labels.shape == (50, 72)
    np.testing.assert_array_equal(Predictor(cfg)(image), labels)
    for wrong, says in ((image[..., :3], "has 3 channels"), (image.astype("uint8"), "holds uint8")):
        with pytest.raises(ValueError, match=f"^the image {says}, and INPUT"):
            predictor.predict_labels(wrong)

    np.save(tmp_path / "bad.npy", np.zeros((6, 6, 5), np.uint16))
    paths = [str(path), str(tmp_path / "bad.npy")]
    drawn = predict_files(Predictor(cfg), paths, str(tmp_path / "drawn"))
    assert "bad.npy has 5 channels, and INPUT.IN_CHANNELS is 4" in str(drawn.failures)
    assert (tmp_path / "drawn/0_prediction.jpg").exists()


def test_tools_draw_and_validate_four_channels(satellite, tmp_path):
    options = ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", *OPTIONS, "OUTPUT_DIR", str(tmp_path)]
    arguments = ["--config-file", satellite, "--opts", *options]
    for source in ("loader", "dataset"):
        folder = ["--output", str(tmp_path / source), "--source", source, "--num", "2"]
        visualize_data.main(visualize_data.parse_args([*folder, *arguments]))
        assert len(list((tmp_path / source).iterdir())) == 3
    assert validate_dataset.main(validate_dataset.parse_args(arguments)) == 0


def test_validator_refuses_files_that_differ(satellite, capsys):
    options = ["--config-file", satellite, "--opts", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3"]
    eight_bits = ["INPUT.IN_CHANNELS", "4", *OPTIONS[4:]]
    assert validate_dataset.main(validate_dataset.parse_args([*options, *eight_bits])) == 1
    assert "holds uint16, and INPUT.DTYPE is uint8: set INPUT.DTYPE uint16" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
@pytest.mark.parametrize("key", ["backbone.bottom_up.stem.conv1.weight", "conv1.weight", "conv1_w"])
def test_stem_for_three_channels_is_adapted_as_by_timm(channels, key):
    weight, other = torch.randn(8, 3, 7, 7), torch.randn(8, 8, 3, 3)
    expected = {"backbone.stem.conv1.weight": torch.empty(8, channels, 7, 7), "b": other}
    adapted = adapt_stem({key: weight.numpy(), "b": other}, expected, "x.pth")
    torch.testing.assert_close(adapted[key], adapt_input_conv(channels, weight))
    assert adapted["b"] is other


def test_training_starts_from_weights_for_three_channels(tmp_path, log):
    slim = [*SLIM, "MODEL.FPN.OUT_CHANNELS", "32"]
    source = small_cfg(*slim)
    convention = input_convention(source)
    rgb = SegmentationCheckpointer(build_model(source), str(tmp_path), input_convention=convention)
    rgb.save("rgb")
    numbers = [x for pair in CHANNELS.items() for x in pair]
    cfg = small_cfg(*slim, *numbers)
    model = build_model(cfg)
    convention = input_convention(cfg)
    SegmentationCheckpointer(model, input_convention=convention).load(f"{tmp_path}/rgb.pth")
    key = "backbone.stem.conv1.weight"
    stem = rgb.model.state_dict()[key]
    torch.testing.assert_close(model.state_dict()[key], adapt_input_conv(4, stem))
    assert f"{key} is for 3 channels and images have 4: its filters are repeated" in log.text
    assert "starts fresh" not in log.text
    assert "were trained with" not in log.text
    evaluated = SegmentationCheckpointer(model, require_complete=True)
    with pytest.raises(ValueError, match=r"stem.conv1.weight: \(8, 3, 7, 7\) in the file"):
        evaluated.load(f"{tmp_path}/rgb.pth")


FAULTS = [
    ("MODEL.PIXEL_MEAN", [1.0] * 3, ": set a number for each channel of INPUT.IN_CHANNELS 4"),
    ("MODEL.PIXEL_STD", [1.0] * 5, ": set a number for each channel of INPUT.IN_CHANNELS 4"),
    ("INPUT.COLOR_AUG_SSD", True, " where INPUT.IN_CHANNELS is 4 and INPUT.DTYPE uint16: it is"),
    ("INPUT.AFFINE.BORDER", (0, 0, 0), " where .*: set a number for each channel", "AFFINE"),
    ("INPUT.PICTURE_CHANNELS", (3, 2, 4), " where .*: set three of the channels 0..3 for red"),
    ("INPUT.PICTURE_CHANNELS", (3, 2), " where .*: set three"),
    ("INPUT.DTYPE", "uint12", ".* use one of uint8, uint16, int16, float32"),
    ("INPUT.IN_CHANNELS", 0, ": set a whole number of at least 1"),
]


@pytest.mark.parametrize(("key", "value", "says", "others"), [(*f[:3], f[3:]) for f in FAULTS])
def test_keys_are_checked_together(key, value, says, others):
    affine = ["INPUT.AFFINE.ENABLED", True] if others else []
    cfg = load_cfg(CONFIG, OPTIONS)
    assert list(config_problems(cfg)) == []
    cfg.merge_from_list([*affine, key, value])
    problem = next(line for line in config_problems(cfg) if line.startswith(key))
    assert re.match(f"{key} is .*{says}", problem)


OTHER_MAPPERS = {
    "MODEL.META_ARCHITECTURE": "ImageClassifier",
    "INPUT.SEM_SEG_MAPPER": "detectron2",
}


def test_other_mappers_and_colour_orders_are_refused():
    channels = [x for pair in CHANNELS.items() for x in pair]
    for key, value in OTHER_MAPPERS.items():
        task = task_of(small_cfg(*channels, key, value))
        with pytest.raises(ValueError, match=r"INPUT.IN_CHANNELS, INPUT.DTYPE: unknown to"):
            task.build_mapper(is_train=True)
    cfg = small_cfg("INPUT.DTYPE", "uint16", "INPUT.FORMAT", "HSV")
    assert any("INPUT.FORMAT is HSV where" in line for line in config_problems(cfg))
    cfg = small_cfg("INPUT.CHANNELS_FIRST", True)
    assert any("are for other images than 8-bit colours" in line for line in config_problems(cfg))
    assert ImageReader.of(cfg).reads_colors
