"""``tools/export_model.py`` once, and what its files give in onnxruntime."""

import json
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

import vt_seg
from tests.small_configs import TWO_LEVELS, small_cfg
from tests.tiny_datasets import write_tiny_scenes
from tools.export_model import main, parse_args
from vt_seg.cli import export as cli
from vt_seg.engine import load_cfg
from vt_seg.export import (
    ExportableSegmentor,
    ParityError,
    export_model,
    files,
    format_of,
    onnx_run,
    quantize,
)
from vt_seg.export.parity import parity_images as images_of
from vt_seg.export.parity import plain_logits
from vt_seg.hub import save_pretrained

ROOT = Path(__file__).parents[2]
CONFIG = "configs/vtfpn_R18_scenes.yaml"
SMALL = [*TWO_LEVELS, "MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """What the tool printed and the folder with its files."""
    folder = tmp_path_factory.mktemp("export")
    write_tiny_scenes(folder / "datasets")
    vt_seg.register_all_datasets(str(folder / "datasets"))
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(words)))
        torch.manual_seed(0)
        images = str(folder / "datasets/vt_scenes/images/train")
        arguments = ["--output", str(folder / "model.onnx"), "--int8", images, "--evaluate"]
        opts = ["--opts", *SMALL, "OUTPUT_DIR", str(folder)]
        main(parse_args(["--config-file", CONFIG, *arguments, *opts]))
    yield folder, "\n".join(printed)
    vt_seg.register_all_datasets()


@pytest.fixture(scope="module")
def model():
    """The model that the tool exported: random weights of one seed."""
    torch.manual_seed(0)
    return build_model(load_cfg(str(ROOT / CONFIG), SMALL)).eval()


def test_tool_reports_agreement_calibration_and_scores(exported):
    folder, printed = exported
    assert f"wrote {folder}/model.onnx: labels equal at 100.0000% of the pixels" in printed
    assert f"wrote {folder}/model_int8.onnx: calibrated with 8 images" in printed
    assert printed.count("mIoU") == 2


@pytest.mark.parametrize("batch", [1, 3])
def test_one_file_takes_any_batch_and_size(exported, model, batch):
    images = images_of(batch, 3, (83, 125))
    labels = onnx_run(str(exported[0] / "model.onnx"))(images.numpy())
    expected = plain_logits(model, images, "BGR").argmax(1)
    assert labels.shape == (batch, 83, 125)
    assert (labels == expected.numpy()).mean() >= 0.9999


def test_metadata_have_classes_colours_and_config_without_paths(exported):
    for name in ("model.onnx", "model_int8.onnx"):
        session = onnxruntime.InferenceSession(exported[0] / name)
        metadata = session.get_modelmeta().custom_metadata_map
        assert json.loads(metadata["classes"])[:2] == ["sky", "mountain"]
        assert len(json.loads(metadata["colors"])) == len(json.loads(metadata["classes"]))
        assert json.loads(metadata["ignore_label"]) == 255
        assert metadata["channels"] == "RGB"
        assert metadata["vt_seg"] == vt_seg.__version__
        assert "COMMON_STRIDE: 16" in metadata["config"]
        assert str(exported[0]) not in metadata["config"]


def test_int8_file_is_small_and_near_the_model(exported, model):
    folder, _ = exported
    sizes = [(folder / name).stat().st_size for name in ("model_int8.onnx", "model.onnx")]
    assert sizes[0] < 0.4 * sizes[1]
    images = images_of(1, 3, (128, 128))
    labels = onnx_run(str(folder / "model_int8.onnx"))(images.numpy())
    assert (labels == plain_logits(model, images, "BGR").argmax(1).numpy()).mean() > 0.8


def test_file_that_disagrees_is_refused_and_the_old_one_stays(exported, tmp_path, monkeypatch):
    content = (exported[0] / "model.onnx").read_bytes()
    monkeypatch.setattr(files, "export_program", lambda model: None)
    monkeypatch.setattr(files, "onnx_bytes", lambda program, metadata: content)
    torch.manual_seed(1)
    other = build_model(load_cfg(str(ROOT / CONFIG), SMALL)).eval()
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with pytest.raises(ParityError, match="disagrees with the model: labels equal at"):
        export_model(other, str(path), "BGR", {"output": "labels"})
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_hub_folder_is_exported_with_its_classes(exported, model, tmp_path, monkeypatch):
    save_pretrained(model, load_cfg(str(ROOT / CONFIG), SMALL), tmp_path / "hub")
    given = []
    monkeypatch.setattr(cli, "export_model", lambda *arguments: given.append(arguments))
    arguments = ["--model", str(tmp_path / "hub"), "--output", "model.onnx"]
    main(parse_args(arguments))
    (loaded, _, order, metadata) = given[0]
    weights = model.sem_seg_head.predictor.weight
    assert torch.equal(loaded.sem_seg_head.predictor.weight, weights)
    assert (order, json.loads(metadata["classes"])[:2]) == ("BGR", ["sky", "mountain"])
    with pytest.raises(ValueError, match="names no dataset: --evaluate needs --config-file"):
        main(parse_args([*arguments, "--evaluate"]))


def test_example_predicts_without_torch(exported, tmp_path):
    image = next((exported[0] / "datasets/vt_scenes/images/val").iterdir())
    copy = tmp_path / "scene.png"
    Image.open(image).resize((90, 70)).save(copy)
    code = (
        "import runpy, sys; sys.modules.update(torch=None, vt_seg=None, detectron2=None); "
        f"sys.argv[1:] = {[str(exported[0] / 'model.onnx'), str(copy)]}; "
        f"runpy.run_path({str(ROOT / 'examples/predict_onnx.py')!r}, run_name='__main__')"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    picture = Image.open(tmp_path / "scene_labels.png")
    assert (picture.size, picture.mode) == ((90, 70), "P")
    shares = [float(line.rpartition(" ")[2][:-1]) for line in printed.splitlines()]
    assert sum(shares) == pytest.approx(100, abs=1)


def test_program_of_a_vt_resnet_gives_its_logits(tmp_path):
    cfg = small_cfg(
        *("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone", "MODEL.VT_FPN.NUM_LAYERS", "0"),
        *("MODEL.SEM_SEG_HEAD.IN_FEATURES", "('res4', 'res5')"),
        *("MODEL.RESNETS.OUT_FEATURES", "('res4', 'res5')"),
        *("MODEL.SEM_SEG_HEAD.COMMON_STRIDE", "16", "INPUT.FORMAT", "RGB"),
        *("MODEL.META_ARCHITECTURE", "PaddingAwareSegmentor"),
        *("MODEL.SEM_SEG_HEAD.TEMPERATURE", 2.0),
    )
    torch.manual_seed(0)
    path = str(tmp_path / "model.pt2")
    said = export_model(build_model(cfg).eval(), path, "RGB", {"output": "logits"})
    assert "logits within" in said
    extra = {"vt_seg.json": ""}
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra["vt_seg.json"]) == {"output": "logits"}


def test_missing_package_is_named_with_its_extra(tmp_path, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'vt_seg\[export\]'"):
        export_model(model, str(tmp_path / "model.onnx"), "BGR", {"output": "labels"})


def test_unknown_formats_and_models_are_refused(tmp_path, model):
    with pytest.raises(ValueError, match=r"model.tflite: the name .* \.onnx"):
        export_model(model, str(tmp_path / "model.tflite"), "BGR", {"output": "labels"})
    with pytest.raises(ValueError, match='"boxes" is unknown'):
        ExportableSegmentor(model, "BGR", "boxes")
    with pytest.raises(ValueError, match="not Linear"):
        ExportableSegmentor(torch.nn.Linear(1, 1), "BGR")
    with pytest.raises(ValueError, match=r"training mode: call its eval\(\) first"):
        export_model(torch.nn.Linear(1, 1), str(tmp_path / "model.pt2"), "BGR", {})


def test_path_that_cannot_be_written_is_refused_before_the_model_is_loaded(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ValueError, match=r"model.onnx is a folder: name a file"):
        format_of(str(tmp_path / "model.onnx"))
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*/no: make it first"):
        format_of(str(tmp_path / "no/model.onnx"))


def test_images_that_cannot_be_read_are_left_out_of_the_calibration(tmp_path, capsys):
    cfg = load_cfg(str(ROOT / CONFIG), SMALL)
    Image.new("RGB", (70, 64)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("none")
    paths = [str(tmp_path / name) for name in ("b.png", "a.png")]
    assert [image.shape[:2] for image in cli.calibration_images(cfg, paths)] == [(1, 3)]
    assert f"skipped: {tmp_path}/b.png is text" in capsys.readouterr().err
    with pytest.raises(ValueError, match="int8 needs images"):
        quantize("model.onnx", "int8.onnx", [])
