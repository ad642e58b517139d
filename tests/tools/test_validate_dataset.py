"""The validator's command line: what it prints, and its exit status."""

import json
from pathlib import Path

import numpy as np
import pytest

from tools.validate_dataset import main, parse_args

from ..data.image_files import gradient, write_png

YAML = """
_BASE_: {base}
MODEL: {{SEM_SEG_HEAD: {{NUM_CLASSES: {num_classes}}}}}
DATASETS:
  CUSTOM:
    - {{NAME: validate_me, IMAGES: {root}/images, MASKS: {root}/masks, CLASSES: [ground, sky]}}
  TRAIN: ("validate_me",)
  TEST: ("validate_me",)
"""


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b", "c"):
        write_png(tmp_path / f"images/{name}.png", gradient(6, 8))
        write_png(tmp_path / f"masks/{name}.png", np.eye(6, 8, dtype=np.uint8))
    return tmp_path


@pytest.fixture
def folders(root):
    return ["--images", str(root / "images"), "--masks", str(root / "masks"), "--classes", "2"]


def test_good_folders(folders, root, capsys):
    assert main(parse_args(folders)) == 0
    said = capsys.readouterr().out
    # Six ones of 48 pixels.
    parts = ("3 of 3 pairs decoded", "no findings", "0 errors, 0 warnings", "12.50 %", "87.50 %")
    assert [part for part in parts if part not in said] == []
    assert main(parse_args([*folders, "--quick", "2"])) == 0
    assert "2 of 3 pairs decoded" in capsys.readouterr().out


def test_an_error_is_told_in_one_piece_and_by_the_exit_status(folders, root, capsys):
    (root / "masks/c.png").unlink()
    assert main(parse_args(folders)) == 1
    said = capsys.readouterr().out
    expected = f"e.g. {root}/images/c.png (expected {root}/masks/c.png)"
    assert f"ERROR 1 of 3 images without mask, {expected}" in said
    assert "1 error, 0 warnings" in said


def test_json(folders, root, capsys):
    write_png(root / "masks/c.png", np.full((6, 8), 5, np.uint8))
    assert main(parse_args([*folders, "--json"])) == 1
    found = json.loads(capsys.readouterr().out)
    (dataset,) = found["datasets"]
    assert (found["ok"], dataset["ok"]) == (False, False)
    (finding,) = dataset["findings"]
    assert finding["file"] == f"{root}/masks/c.png"
    assert (finding["level"], finding["kind"]) == ("ERROR", "label out of range")
    assert [row["pixels"] for row in dataset["classes"]] == [2 * 42, 2 * 6]


def test_layouts(root, capsys):
    write_png(root / "one/train/a_rgb.png", gradient(6, 8))
    write_png(root / "one/train/a_gt.png", np.eye(6, 8, dtype=np.uint8))
    one = str(root / "one/train")
    (root / "train.csv").write_text(
        "image,mask\nimages/a.png,masks/b.png\nimages/c.png,masks/c.png\n"
    )
    for arguments, num in (
        (["--images", one, "--masks", one, "--image-suffix", "_rgb", "--mask-suffix", "_gt"], 1),
        (["--images", f"{root}/one/{{split}}/{{id}}_rgb.png", "--masks", f"{one}/{{id}}_gt.png",
          "--split", "train"], 1),
        (["--images", str(root), "--masks", str(root), "--split-list", f"{root}/train.csv"], 2),
        (["--images", f"{root}/images", "--masks", f"{root}/masks", "--subset", "2"], 2),
    ):  # fmt: skip
        assert main(parse_args([*arguments, "--classes", "2"])) == 0
        assert f"{num} of {num} pairs decoded" in capsys.readouterr().out


@pytest.mark.parametrize("count", [256, 10**20])
def test_more_classes_than_masks_can_hold_are_refused_at_once(root, capsys, count):
    folders = ["--images", f"{root}/images", "--masks", f"{root}/masks"]
    assert main(parse_args([*folders, "--classes", str(count)])) == 1
    assert f"{count} classes: masks have 8 bits, so at most 255" in capsys.readouterr().out


@pytest.mark.parametrize(("num_classes", "status"), [(2, 0), (54, 1)])
def test_config(root, capsys, num_classes, status):
    base = Path("configs/vtfpn_R18_scenes.yaml").resolve()
    (root / "my.yaml").write_text(YAML.format(base=base, root=root, num_classes=num_classes))
    assert main(parse_args(["--config-file", str(root / "my.yaml")])) == status
    said = capsys.readouterr().out
    assert ("NUM_CLASSES is 54 but validate_me has 2 classes: set" in said) == bool(status)
    assert "WARN 3 of 3 images of validate_me are trained on in validate_me" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a dataset, or give --config-file"),
        (["--images", "x"], "--images, --masks and --classes go together"),
        (["name", "--images", "x", "--masks", "y", "--classes", "2"], "without names"),
    ],
)
def test_usage(arguments, says, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse_args(arguments)
    assert exit_.value.code == 2
    assert says in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"no dataset is registered as vt_lip_vla \(near: "):
        main(parse_args(["vt_lip_vla"]))
