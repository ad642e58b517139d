"""Exports of every format become the label maps that independent decodings give."""

import json
import os
import runpy
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from data_prep.conversion import MixedOutputError, check, convert
from data_prep.exports import (
    ade20k_export,
    coco_export,
    datumaro_export,
    labelme_export,
    supervisely_export,
)
from data_prep.tests import export_files as files
from data_prep.tests.export_cases import (
    EXPORTS,
    change,
    converted,
    error_of,
    every_export,
    labelme_of,
    of_coco,
)
from data_prep.tests.export_files import CAT, cat_mask, pairs
from vt_seg.data import read_class_names, read_mask, register_from_config, unregister

SCRIPT = Path(__file__).parents[2] / "convert_masks.py"


@every_export
def test_export_becomes_a_dataset_with_the_expected_labels(name, tmp_path):
    make, mask, names, expected = EXPORTS[name]
    export = make(tmp_path)
    np.testing.assert_array_equal(converted(export, mask), expected)
    assert (tmp_path / "out/classes.txt").read_text().splitlines() == names
    assert check(export.conversion).errors == []

    (entry,) = yaml.safe_load(export.yaml())["DATASETS"]["CUSTOM"]
    register_from_config([entry])
    try:
        (record,) = DatasetCatalog.get(entry["NAME"])
        assert MetadataCatalog.get(entry["NAME"]).stuff_classes == names
    finally:
        unregister(entry["NAME"])
    np.testing.assert_array_equal(read_mask(record["sem_seg_file_name"]), expected)
    assert (
        read_mask(record["sem_seg_file_name"]).shape == Image.open(record["file_name"]).size[::-1]
    )


@every_export
def test_killed_and_repeated_conversion_writes_the_bytes_of_an_undisturbed_one(name, tmp_path):
    """The process dies by SIGKILL before the third mask gets its name."""
    make = EXPORTS[name][0]
    names = [f"{letter}" for letter in "abcdef"]
    killed, undisturbed = make(tmp_path / "killed", names), make(tmp_path / "undisturbed", names)
    child = os.fork()
    if child == 0:
        rename, renamed = os.replace, []

        def rename_two_masks(source, target):
            if str(target).endswith(".png"):
                renamed.append(target)
            if len(renamed) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target)

        os.replace = rename_two_masks
        convert(killed.conversion)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(list((tmp_path / "killed/out").rglob("*.unfinished"))) == 1
    assert not (tmp_path / "killed/out/classes.txt").exists()

    outcome = convert(killed.conversion)
    assert (outcome.kept, outcome.done, outcome.errors) == (2, 4, [])
    assert convert(undisturbed.conversion).done == 6
    first, second = (
        {
            path.relative_to(tmp_path / run): path.read_bytes()
            for path in sorted((tmp_path / run / "out").rglob("[!.]*"))
            if path.is_file()
        }
        for run in ("killed", "undisturbed")
    )
    assert len(first) >= 8
    assert first == second


@every_export
def test_image_of_another_size_is_named(name, tmp_path):
    make, mask, _, _ = EXPORTS[name]
    export = make(tmp_path)
    (task,) = export.conversion.tasks
    image = task.detail if isinstance(task.detail, str) else task.detail.image
    files.write_image(Path(image), (10, 8))
    message = error_of(export)
    assert f"{image} has 8x10, which is transposed" in message
    assert not (export.conversion.output / mask).exists()


WRONG = [None, 0, -1, 10**30, float("nan"), "", "../x", True, [], {}, [[[1, 2]]], "\x00", [None]]


def places(content, place=()):
    """Yield the place of everything in JSON, as keys."""
    yield place
    if isinstance(content, (dict, list)):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*place, key))


@pytest.mark.parametrize("name", ["coco", "labelme", "supervisely", "datumaro", "ade20k"])
def test_generated_errors_end_in_a_sentence_that_names_the_file(name, tmp_path):
    """One value of the JSON is replaced or removed: a mask is made, or refused in words."""
    make, mask, _, _ = EXPORTS[name]
    again = {
        "coco": lambda r: coco_export(r / "coco.json", r / "images", r / "out"),
        "labelme": lambda r: labelme_export(r / "labelme", r / "out"),
        "supervisely": lambda r: supervisely_export(r / "sly", r / "out"),
        "datumaro": lambda r: datumaro_export(
            r / "annotations/train.json", r / "images", r / "out"
        ),
        "ade20k": lambda r: ade20k_export(r / "ade", r / "out"),
    }[name]
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(40):
        root = tmp_path / str(number)
        make(root)
        paths = sorted(root.rglob("*.json"))
        path = paths[rng.integers(len(paths))]
        content = json.loads(path.read_text())
        found = list(places(content))[1:]
        place = found[rng.integers(len(found))]
        change(content, *place, (*WRONG, KeyError)[rng.integers(len(WRONG) + 1)])
        path.write_text(json.dumps(content))
        try:
            errors = convert(again(root).conversion).errors
        except (ValueError, FileNotFoundError) as error:
            errors = [str(error)]
        assert all(str(root) in error for error in errors), errors
        refused += len(errors)
        assert (root / "out/masks" / mask).exists() == (not errors)
    assert refused > 10


def test_files_that_were_there_are_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/classes.txt").write_text("mine\n")
    export = of_coco(tmp_path)
    with pytest.raises(MixedOutputError, match=r"classes\.txt exists, and there is no"):
        convert(export.conversion)
    assert (tmp_path / "out/classes.txt").read_text() == "mine\n"
    assert not list((tmp_path / "out").rglob("*.png"))


def test_output_in_the_folder_of_images_is_refused(tmp_path):
    path = files.write_coco(tmp_path)
    with pytest.raises(ValueError, match="lies in the folder of images"):
        coco_export(path, tmp_path / "images", tmp_path / "images/out")


def test_other_options_are_not_mixed_unless_nothing_was_made(tmp_path):
    shapes = [files.labelme_shape("cat", pairs(CAT)), files.labelme_shape("dog", [[1, 1]], "point")]
    assert error_of(labelme_of(tmp_path, shapes))
    export = labelme_of(tmp_path, shapes, other_shapes="skip")
    np.testing.assert_array_equal(converted(export), cat_mask())
    with pytest.raises(MixedOutputError, match="other shapes: 'skip', now 'error'"):
        convert(labelme_of(tmp_path, shapes).conversion)


@pytest.mark.parametrize("name", ["#1", "3d cat", "cat 2", "a:1,2", "7: x", "road; path", "_"])
def test_classes_are_read_back_as_they_were(tmp_path, name):
    content = files.coco()
    content["categories"][0]["name"] = name
    path = files.write_coco(tmp_path, content=content)
    export = coco_export(path, tmp_path / "images", tmp_path / "out")
    assert convert(export.conversion).errors == []
    assert read_class_names(tmp_path / "out/classes.txt") == ("background", "cat", name)


def test_left_and_right_classes_become_flip_pairs(tmp_path):
    content = files.coco()
    content["categories"] = [{"id": 3, "name": "left eye"}, {"id": 9, "name": "right eye"}]
    path = files.write_coco(tmp_path, content=content)
    export = coco_export(path, tmp_path / "images", tmp_path / "out")
    assert export.entry["FLIP_LABEL_PAIRS"] == [[1, 2]]


def test_script_prints_the_entry_and_errors_in_one_sentence(tmp_path, monkeypatch, capsys):
    files.write_coco(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert_masks.py", *arguments])
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return exit_.value.code, *capsys.readouterr()

    code, out, _ = run("coco", "coco.json", "--images", "images", "--output", "my/train")
    assert code == 0
    assert out.startswith("my/train/masks: 1 written, 0 kept in ")
    entry = out[out.index("DATASETS:") :]
    assert yaml.safe_load(entry) == {
        "DATASETS": {
            "CUSTOM": [
                {
                    "NAME": "my_train",
                    "IMAGES": "images",
                    "MASKS": "my/train/masks",
                    "CLASSES": "my/train/classes.txt",
                    "SPLIT_LIST": "my/train/images.txt",
                }
            ]
        }
    }
    code, out, error = run("coco", "no.json", "--images", "images", "--output", "my/val")
    assert (code, out, error) == (1, "", "error: no such file: no.json\n")
