"""A model survives the way through a folder to the digit; a folder that was touched is refused."""

import copy
import errno
import hashlib
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from tests.engine.conftest import scenes_root  # noqa: F401  (a fixture)
from tests.small_configs import TINY_SCENES
from vt_seg import user_modules
from vt_seg.engine import SemSegPredictor, load_cfg
from vt_seg.hub import from_pretrained, save_pretrained
from vt_seg.prediction import load_model_config

RESULTS = {"sem_seg": {"mIoU": 41.25, "IoU-lake": 12.5, "pACC": 80.0}}


@pytest.fixture(scope="module")
def trained(scenes_root, tmp_path_factory):  # noqa: F811
    """A config, its model with weights and norms that are not the initial ones, and its folder."""
    folder = tmp_path_factory.mktemp("hub")
    overrides = [*TINY_SCENES, "OUTPUT_DIR", str(folder / "run"), "MODEL.DEVICE", "cpu"]
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml", overrides)
    torch.manual_seed(3)
    model = build_model(cfg)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.1, 0.1)
    save_pretrained(model.eval(), cfg, folder / "model", results=RESULTS)
    return cfg, model, folder / "model"


def test_labels_are_the_same_to_the_digit_on_another_path(trained, tmp_path):
    cfg, model, folder = trained
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    loaded = from_pretrained(moved, device="cpu")
    assert not loaded.model.training
    image = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    batch = [{"image": torch.from_numpy(image).permute(2, 0, 1), "height": 45, "width": 70}]
    with torch.no_grad():
        assert torch.equal(loaded.model(batch)[0]["sem_seg"], model(batch)[0]["sem_seg"])
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    cfg = cfg.clone()
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    expected = SemSegPredictor(cfg).predict_labels(image)
    assert np.array_equal(SemSegPredictor(loaded.cfg).predict_labels(image), expected)


def test_folder_holds_classes_and_no_path_and_no_pickle(trained):
    cfg, _, folder = trained
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "config.yaml", "classes.json", "README.md", "checksums.json")
    }
    text = (folder / "config.yaml").read_text()
    assert str(folder.parent) not in text
    assert "vt_scenes" not in text
    loaded = from_pretrained(folder)
    assert len(loaded.metadata.stuff_classes) == 14
    assert (
        loaded.metadata.stuff_classes[0]
        == json.loads((folder / "classes.json").read_text())["classes"][0]
    )
    card = (folder / "README.md").read_text()
    assert "| mIoU | 41.25 |" in card
    assert "| IoU lake | 12.50 |" in card
    assert "`vt_scenes_val`" in card
    assert cfg.DATASETS.TEST == ("vt_scenes_val",)  # the caller's config stays


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "classes.json", "README.md"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_damaged_folder_is_refused_by_name(trained, tmp_path, name, damage):
    folder = tmp_path / "copy"
    shutil.copytree(trained[2], folder)
    content = (folder / name).read_bytes()
    changed = bytes([content[-2] ^ 1])
    (folder / name).unlink()
    if damage == "cut":
        (folder / name).write_bytes(content[:-10])
    elif damage == "changed":
        (folder / name).write_bytes(content[:-2] + changed + content[-1:])
    with pytest.raises((FileNotFoundError, ValueError), match=name):
        from_pretrained(folder)


def test_nothing_is_overwritten(trained):
    cfg, model, folder = trained
    with pytest.raises(FileExistsError, match="is there already"):
        save_pretrained(model, cfg, folder)


def test_weights_of_another_model_are_refused(trained, tmp_path):
    cfg, model, _ = trained
    cfg = cfg.clone()
    cfg.MODEL.VT_FPN.NUM_TOKENS = 4
    with pytest.raises(ValueError, match=r"not that of the config: \d+ tensors differ"):
        save_pretrained(model, cfg, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def edit_config(trained, folder, old, new):
    """Copy the model's folder, and change its config and the checksum of that."""
    shutil.copytree(trained[2], folder)
    text = (folder / "config.yaml").read_text().replace(old, new)
    (folder / "config.yaml").write_text(text)
    sums = json.loads((folder / "checksums.json").read_text())
    sums["config.yaml"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(sums))
    return folder


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("OUTPUT_DIR: output", "OUTPUT_DIR: /tmp/theirs", "it names paths"),
        # It would be downloaded, and could set any key.
        ("SEED:", "_BASE_: https://127.0.0.1:9/base.yaml\nSEED:", "it has a _BASE_"),
        ("IMPORT: []", "IMPORT: [/tmp/theirs.py]", r"needs /tmp/theirs.py, whose code would run"),
    ],
)
def test_config_that_another_wrote_is_refused(trained, tmp_path, old, new, says):
    folder = edit_config(trained, tmp_path / "copy", old, new)
    with pytest.raises(ValueError, match=says):
        from_pretrained(folder)


def test_modules_of_a_model_are_named_without_folders_and_imported_on_request(
    trained, tmp_path, monkeypatch
):
    cfg, model, _ = trained
    monkeypatch.setattr(user_modules, "_imported", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = tmp_path / "theirs_in_hub.py"
    module.write_text("def add_config(cfg):\n    cfg.THEIRS = 3\n")
    cfg = cfg.clone()
    cfg.THEIRS, cfg.VT_SEG.IMPORT = 4, [str(module)]
    save_pretrained(model, cfg, tmp_path / "model")
    with pytest.raises(ValueError, match=r"needs theirs_in_hub\.py, whose code would run"):
        load_model_config(tmp_path / "model")
    loaded = load_model_config(tmp_path / "model", imports=[str(module)]).cfg
    assert (loaded.THEIRS, loaded.VT_SEG.IMPORT) == (4, ["theirs_in_hub.py"])


def test_what_is_no_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no checksums\.json"):
        from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder, and no id"):
        from_pretrained(tmp_path / "missing" / "deep")


def forged(trained, folder, name, change):
    """Copy a folder, change the content of a file and correct its checksum."""
    shutil.copytree(trained[2], folder)
    content = change((folder / name).read_bytes())
    (folder / name).write_bytes(content)
    sums = json.loads((folder / "checksums.json").read_text())
    sums[name] = hashlib.sha256(content).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(sums))
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", ["sky"]),
        ("colors", "red"),
        ("colors", [[0, 0, 300]] * 14),
        ("flip_label_pairs", [[0, 14]]),
        ("ignore_label", "255"),
        ("channel_order", "RGB"),
        ("pixel_mean", None),
    ],
)
def test_classes_that_cannot_be_right_are_named(trained, tmp_path, key, value):
    def change(content):
        return json.dumps(json.loads(content) | {key: value}).encode()

    folder = forged(trained, tmp_path / "copy", "classes.json", change)
    with pytest.raises(ValueError, match=rf"classes.json: {key} is missing, wrong or not that"):
        from_pretrained(folder)


def test_config_that_names_another_file_reads_no_other_file(trained, tmp_path):
    (tmp_path / "other.yaml").write_text("secret")
    folder = forged(
        trained,
        tmp_path / "copy",
        "config.yaml",
        lambda content: b"_BASE_: ../other.yaml\n" + content,
    )
    with pytest.raises(ValueError, match=r"config.yaml was not written by save_pretrained: it has"):
        from_pretrained(folder)


def test_pickle_in_the_place_of_safetensors_is_refused(trained, tmp_path):
    torch.save({"model": trained[1].state_dict()}, tmp_path / "model.pth")
    pickled = (tmp_path / "model.pth").read_bytes()
    folder = forged(trained, tmp_path / "copy", "model.safetensors", lambda _: pickled)
    with pytest.raises(ValueError, match=r"model.safetensors holds no safetensors"):
        from_pretrained(folder)


def test_names_of_classes_cannot_break_the_model_card(trained, tmp_path):
    cfg, model, _ = trained
    names = ["a | b", "<b>", "two\nlines", "[x](y)", *map(str, range(10))]
    MetadataCatalog.get("odd_names").set(stuff_classes=names)
    cfg = cfg.clone()
    cfg.DATASETS.TEST = ("odd_names",)
    results = {"sem_seg": {"mIoU": 1.0, "IoU-a | b": 2.0}}
    folder = tmp_path / "what? #1"  # no address with a query
    save_pretrained(model, cfg, folder, results=results)
    assert from_pretrained(folder).metadata.stuff_classes == names
    card = (folder / "README.md").read_text()
    assert r"| IoU a \| b | 2.00 |" in card
    assert r"0 a \| b, 1 \<b\>, 2 two lines, 3 \[x\](y), 4 0" in card


def test_weights_that_cannot_be_read_back_are_not_saved(trained, tmp_path):
    cfg, model, _ = trained
    model = copy.deepcopy(model)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"the model: 1 of .* not finite"):
        save_pretrained(model, cfg, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_full_disk_is_named_and_leaves_no_part(trained, tmp_path, monkeypatch):
    cfg, model, _ = trained
    sync, synced = os.fsync, []

    def fail_at_the_third(descriptor):
        synced.append(descriptor)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_at_the_third)
    with pytest.raises(OSError, match=r"No space left on device: '.*/model/README.md'"):
        save_pretrained(model, cfg, tmp_path / "model")
    assert os.listdir(tmp_path / "model") == []
    save_pretrained(model, cfg, tmp_path / "model")


def test_part_that_is_not_registered_is_named(trained, tmp_path):
    def change(content):
        return content.replace(b"NAME: VTFPNHead", b"NAME: TheirHead")

    folder = forged(trained, tmp_path / "copy", "config.yaml", change)
    with pytest.raises(ValueError, match=r"HEAD.NAME is \"TheirHead\": use one of"):
        from_pretrained(folder)
