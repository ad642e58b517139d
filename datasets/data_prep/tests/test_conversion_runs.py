"""Conversions are complete, resumable and never mixed, and --check finds every difference."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data_prep.conversion import (
    MixedOutputError,
    check,
    coco_stuff_conversions,
    convert,
    lip_conversions,
)
from data_prep.tests import dataset_variants as variants
from data_prep.tests.dataset_variants import label_regions
from tests.data.image_files import write_png
from vt_seg.data import read_mask

DATASETS = Path(__file__).parents[2]


def contents(folder):
    """Return the bytes of every file below a folder by name, without the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def conversion_of(root, classes=171):
    (conversion,) = coco_stuff_conversions(root, "stuffthingmaps", [classes], ["train"])
    return conversion


@pytest.fixture
def script(monkeypatch, capsys):
    """Return a function that runs a script of datasets/ and returns exit code, stdout, stderr."""

    def run(name, root, *arguments):
        monkeypatch.setattr(sys, "argv", [name, "--root", str(root), *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(str(DATASETS / name), run_name="__main__")
        return exit_.value.code, *capsys.readouterr()

    return run


def test_killed_and_repeated_run_writes_the_bytes_of_an_undisturbed_one(tmp_path):
    """Kill the script with two processes; the undisturbed run has one."""
    root, other = tmp_path / "killed", tmp_path / "undisturbed"
    count = 1200  # Far more than are done before the signal arrives, also on a busy machine.
    folder = root / "coco/stuffthingmaps/train2017"
    for i in range(8):
        write_png(folder / f"{i:012d}.png", label_regions(range(11), 240, 320, seed=i))
    for i in range(8, count):
        os.link(folder / f"{i % 8:012d}.png", folder / f"{i:012d}.png")
    (other / "coco").mkdir(parents=True)
    (other / "coco/stuffthingmaps").symlink_to(root / "coco/stuffthingmaps")
    sources = contents(root)

    output = root / "coco/stuffthingmaps_detectron2/train2017"
    command = [sys.executable, DATASETS / "prepare_coco_stuff.py", "--root", root, "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": str(DATASETS.parent)}
    process = subprocess.Popen(
        [*command, "--splits", "train"], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(list(output.glob("0*.png"))) < 40:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    present = len(list(output.glob("0*.png")))
    assert 40 <= present < count
    for path in output.glob("0*.png"):  # Each file that has its name is complete.
        assert read_mask(path).shape == (240, 320)
    (output / f".{0:012d}.png.1.unfinished").write_bytes(b"half a file")

    outcome = convert(conversion_of(root), workers=1)
    # Workers finish their files after their parent is gone.
    assert present <= outcome.kept <= present + 2 * 16
    assert outcome.done + outcome.kept == count
    assert convert(conversion_of(other), workers=1).done == count
    of_killed, of_undisturbed = (
        contents(r / "coco/stuffthingmaps_detectron2") for r in (root, other)
    )
    manifests = [c.pop("train2017.conversion.json") for c in (of_killed, of_undisturbed)]
    assert of_killed == of_undisturbed
    recipes = [json.loads(m) for m in manifests]
    assert recipes[0].pop("source") == "../../stuffthingmaps/train2017"
    del recipes[1]["source"]  # This is another folder, through a link.
    assert recipes[0] == recipes[1]
    assert contents(root / "coco/stuffthingmaps") == {
        k.removeprefix("coco/stuffthingmaps/"): v for k, v in sources.items()
    }


def test_script_prints_the_rate_and_check_finds_a_changed_pixel(script, tmp_path):
    written = variants.write_stuffthingmaps(tmp_path)
    arguments = ("--splits", "train", "--classes", 171, 91, "--workers", 1)
    code, out, error = script("prepare_coco_stuff.py", tmp_path, *arguments)
    assert code == 0, error
    lines = out.splitlines()
    assert len(lines) == 2
    assert "stuffthingmaps_detectron2/train2017: 4 written, 0 kept in " in lines[0]
    assert lines[0].endswith("images/s, 1 process)")
    assert "stuff91/train2017" in lines[1]
    assert "image/s" in error  # The progress bar shows the rate.

    stem = sorted(written.values)[2]
    path = tmp_path / f"coco/stuffthingmaps_detectron2_stuff91/train2017/{stem}.png"
    mask = read_mask(path)
    before, mask[5, 7] = int(mask[5, 7]), 90 - mask[5, 7] % 91
    write_png(path, mask)
    code, out, error = script("prepare_coco_stuff.py", tmp_path, *arguments, "--check")
    assert code == 1
    assert "detectron2/train2017: 4 correct" in out
    assert "3 correct, 1 with errors" in out
    found = f"1 pixels differ, the first at row 5, column 7: {mask[5, 7]}, expected {before}"
    assert f"error: {path}: {found}" in error


def test_masks_are_grey_png_and_decoded_alike_by_opencv_and_pillow(tmp_path):
    variants.write_stuffthingmaps(tmp_path, count=1)
    convert(conversion_of(tmp_path))
    (path,) = (tmp_path / "coco/stuffthingmaps_detectron2/train2017").glob("*.png")
    with Image.open(path) as image:
        assert (image.mode, image.format) == ("L", "PNG")
        np.testing.assert_array_equal(np.asarray(image), cv2.imread(str(path), -1))


def test_unknown_values_are_named_and_the_others_converted(tmp_path):
    written = variants.write_stuffthingmaps(tmp_path)
    stems = sorted(written.values)
    mask = written.values[stems[1]].copy()
    mask[3, 4], mask[6, 1] = 200, 182
    path = write_png(written.masks / f"{stems[1]}.png", mask)
    outcome = convert(conversion_of(tmp_path))
    assert outcome.done == 3
    share = f"{200 / mask.size:.1f} % of its pixels"
    (message,) = outcome.errors
    assert f"{path} contains value 182, 200 ({share}, the first at row 3, column 4)" in message
    assert "stuffthingmaps (0-181 without the 11 ids never annotated, 255) lack" in message
    output = tmp_path / "coco/stuffthingmaps_detectron2/train2017"
    assert sorted(p.stem for p in output.glob("*")) == [stems[0], *stems[2:]]
    # Once the source is corrected, only its mask is made.
    write_png(written.masks / f"{stems[1]}.png", written.values[stems[1]])
    outcome = convert(conversion_of(tmp_path))
    assert (outcome.done, outcome.kept, outcome.errors) == (1, 3, [])


def test_converted_masks_are_not_converted_again(tmp_path):
    """Train ids contain values that stuffthingmaps lack."""
    written = variants.write_detectron2_171(tmp_path)
    source = tmp_path / "coco/stuffthingmaps"
    (tmp_path / "coco/stuffthingmaps_detectron2").rename(source)
    outcome = convert(conversion_of(tmp_path, 91))
    assert (outcome.done, len(outcome.errors)) == (0, len(written.values))
    assert "contains value 11, 25, 28, " in outcome.errors[0]
    assert "train ids already (0..170)" in outcome.errors[0]


def test_output_of_a_conversion_is_refused_as_source(tmp_path):
    variants.write_stuffthingmaps(tmp_path)
    convert(conversion_of(tmp_path))
    source = tmp_path / "coco/stuffthingmaps_detectron2"
    (again,) = coco_stuff_conversions(tmp_path, "stuffthingmaps", [91], ["train"], source)
    with pytest.raises(MixedOutputError, match="is itself the output of a conversion"):
        convert(again)
    (onto_itself,) = coco_stuff_conversions(tmp_path, "train-ids", [171], ["train"], source)
    with pytest.raises(MixedOutputError, match="must be separate folders"):
        convert(onto_itself)


def test_run_stops_after_many_errors(tmp_path):
    for i in range(30):
        write_png(tmp_path / f"coco/stuffthingmaps/train2017/{i}.png", np.full((2, 2), 190, "u1"))
    outcome = convert(conversion_of(tmp_path))
    assert len(outcome.errors) == 21
    assert outcome.errors[-1] == "stopped after 20 files with errors"


def test_undecodable_sources_are_named(tmp_path):
    written = variants.write_stuffthingmaps(tmp_path, count=2)
    first, second = sorted(written.masks.glob("*.png"))
    first.write_bytes(first.read_bytes()[:100])
    Image.new("RGB", (4, 4)).save(second)
    errors = convert(conversion_of(tmp_path)).errors
    assert f"{first} is truncated" in errors[0]
    assert f"{second} is a mask of mode RGB" in errors[1]


# Manifests


def test_two_kinds_of_source_are_never_mixed(tmp_path):
    variants.write_stuffthingmaps(tmp_path)
    convert(conversion_of(tmp_path, 91))
    before = contents(tmp_path / "coco/stuffthingmaps_detectron2_stuff91")
    variants.write_pixelmaps(tmp_path, count=6)
    (other,) = coco_stuff_conversions(tmp_path, "pixelmaps", [91], ["train"])
    with pytest.raises(MixedOutputError, match="from: 'stuffthingmaps', now 'pixelmaps'"):
        convert(other)
    assert any("made differently" in error for error in check(other).errors)
    assert contents(tmp_path / "coco/stuffthingmaps_detectron2_stuff91") == before


def test_another_source_of_the_same_kind_is_refused_with_a_fix(tmp_path):
    variants.write_stuffthingmaps(tmp_path)
    convert(conversion_of(tmp_path))
    (tmp_path / "coco/stuffthingmaps").rename(tmp_path / "elsewhere")
    (moved,) = coco_stuff_conversions(
        tmp_path, "stuffthingmaps", [171], ["train"], tmp_path / "elsewhere"
    )
    with pytest.raises(
        MixedOutputError, match=r'set "source" to "\.\./\.\./\.\./elsewhere/train2017"'
    ):
        convert(moved)
    manifest = tmp_path / "coco/stuffthingmaps_detectron2/train2017.conversion.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"source": "../../../elsewhere/train2017"}))
    assert convert(moved).kept == 4


def test_a_whole_tree_may_be_moved(tmp_path):
    variants.write_stuffthingmaps(tmp_path / "here")
    convert(conversion_of(tmp_path / "here"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert convert(conversion_of(tmp_path / "there")).kept == 4


def test_masks_without_a_manifest_are_left_alone_and_checked(tmp_path):
    variants.write_stuffthingmaps(tmp_path)
    convert(conversion_of(tmp_path))
    folder = tmp_path / "coco/stuffthingmaps_detectron2"
    (folder / "train2017.conversion.json").unlink()
    with pytest.raises(
        MixedOutputError, match=r"contains masks, but there is no train2017\.conversion\.json"
    ):
        convert(conversion_of(tmp_path))
    outcome = check(conversion_of(tmp_path))
    assert (outcome.done, outcome.errors) == (4, [])
    (folder / "train2017.conversion.json").write_text("{")
    with pytest.raises(MixedOutputError, match="cannot be read"):
        convert(conversion_of(tmp_path))


# --check


def test_check_finds_missing_additional_and_different_masks(tmp_path):
    variants.write_stuffthingmaps(tmp_path)
    conversion = conversion_of(tmp_path)
    convert(conversion)
    paths = sorted(conversion.output.glob("*.png"))
    good = [path.read_bytes() for path in paths]
    paths[0].unlink()
    write_png(paths[1], read_mask(paths[1])[:-1])
    write_png(paths[2], read_mask(paths[2]), palette=True)
    paths[3].write_bytes(good[3][:200])
    (conversion.output / "extra.png").write_bytes(good[0])
    outcome = check(conversion)
    assert outcome.done == 0
    assert outcome.errors == [
        f"{paths[0]}: missing",
        f"{paths[1]}: size 35x26, expected 35x27",
        f"{paths[2]}: not an 8-bit grey PNG",
        next(error for error in outcome.errors if error.startswith(f"{paths[3]} is truncated")),
        f"{conversion.output / 'extra.png'}: it has no source in {conversion.source}",
    ]
    assert not paths[0].exists()  # Nothing is written.


def test_empty_file_is_not_a_mask(tmp_path):
    """A power failure may leave empty files."""
    variants.write_stuffthingmaps(tmp_path)
    conversion = conversion_of(tmp_path)
    convert(conversion)
    path = min(conversion.output.glob("*.png"))
    content = path.read_bytes()
    path.write_bytes(b"")
    assert convert(conversion).done == 1
    assert path.read_bytes() == content


def test_check_compares_the_list_of_lip(tmp_path):
    variants.write_lip(tmp_path, "distributed")
    (conversion,) = lip_conversions(tmp_path, ["train"])
    convert(conversion)
    path = tmp_path / "lip/canonical/train.txt"
    first = "TrainVal_images/train_images/77_471474.jpg\tcanonical/train_masks/77_471474.png\n"
    assert path.read_text().startswith(first)
    path.write_text(path.read_text().removeprefix(first))
    assert check(conversion).errors == [f"{path}: differs"]
    path.unlink()
    assert check(conversion).errors == [f"{path}: missing"]


@pytest.mark.parametrize(
    ("name", "write", "folder"),
    [
        (
            "prepare_lip.py",
            lambda root: [variants.write_lip(root, split=s) for s in ("train", "val")],
            "lip/canonical/val_masks",
        ),
        (
            "prepare_cocostuff10k.py",
            lambda root: variants.write_cocostuff10k(root, "1.0"),
            "cocostuff10k/stuff171",
        ),
        (
            "prepare_coco_panoptic.py",
            lambda root: [variants.write_panoptic(root, s) for s in ("train", "val")],
            "coco/panoptic_stuff_val2017",
        ),
    ],
)
def test_other_scripts_convert_their_dataset(script, tmp_path, name, write, folder):
    write(tmp_path)
    code, out, error = script(name, tmp_path, "--workers", 1)
    assert code == 0, error
    assert f"{tmp_path / folder}: " in out
    assert len(list((tmp_path / folder).glob("*.png"))) >= 3


def test_missing_source_is_a_message_without_traceback(script, tmp_path):
    code, out, error = script("prepare_coco_stuff.py", tmp_path)
    assert (code, out) == (1, "")
    assert error.startswith("error: no folder train2017 with masks below")
    assert "Traceback" not in error
