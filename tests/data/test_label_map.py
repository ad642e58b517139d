"""Masks whose values are not labels: what a user writes, and what every reader then sees."""

import pickle
import re

import numpy as np
import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import (
    LABEL_MAP,
    LabelMap,
    SemSegMapper,
    read_labels,
    register_from_config,
    register_sem_seg,
    unregister,
)
from vt_seg.data.custom_datasets import classes_and_map
from vt_seg.data.label_map import make_label_map
from vt_seg.data_checks import from_folders, from_name, validate
from vt_seg.engine import load_cfg, task_of
from vt_seg.evaluation import SegmentationEvaluator

from ..small_configs import small_cfg
from .image_files import gradient, write_png

NAME = "test_label_map"
CLASSES = ["road", "car", "left wing"]


@pytest.fixture
def folders(tmp_path):
    """One image whose mask has the values 0, 7, 8 and 26 in columns."""
    write_png(tmp_path / "images/a.png", gradient(4, 8))
    values = np.array([[0, 7, 8, 26]], np.uint8).repeat(4, axis=0).repeat(2, axis=1)
    write_png(tmp_path / "masks/a.png", values)
    yield {"NAME": NAME, "IMAGES": str(tmp_path / "images"), "MASKS": str(tmp_path / "masks")}
    unregister(NAME)


def columns(labels):
    return labels[0, ::2].tolist()


def registered(folders, label_map, classes=CLASSES, **more):
    entry = {**folders, "CLASSES": classes, "LABEL_MAP": label_map, **more}
    register_from_config([entry])
    return DatasetCatalog.get(NAME)[0]


@pytest.mark.parametrize(
    ("label_map", "expected"),
    [
        ({0: 255, 7: 0, 8: 1, 26: 2}, [255, 0, 1, 2]),
        ({0: 255, 7: "road", 8: "road", 26: "left wing"}, [255, 0, 0, 2]),  # many to one
        ({"0": "255", "7": "2", "8": "car", "26": 0, "1000": 1}, [255, 2, 1, 0]),
        ({0: 2, 7: 1, 8: 0, 26: 255, 65535: 0}, [2, 1, 0, 255]),
    ],
)
def test_values_become_labels_from_a_mapping_and_from_each_kind_of_file(
    folders, tmp_path, label_map, expected
):
    assert columns(read_labels(registered(folders, label_map))) == expected
    rows = [f"{value},{label}" for value, label in label_map.items()]
    files = {
        "map.yaml": yaml.safe_dump(label_map),
        "map.json": str(dict(zip(map(str, label_map), label_map.values(), strict=True))),
        "map.csv": "\n".join(["Pixel Value, Class", *rows]),
        "map.txt": "\n".join(rows).replace(",", "\t"),
        "semicolons.csv": "\n".join(rows).replace(",", "; "),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text.replace("'", '"'))
        assert columns(read_labels(registered(folders, str(tmp_path / name)))) == expected, name


@pytest.mark.parametrize(
    ("label_map", "says"),
    [
        ({7: 3}, r"maps value 7 to 3, but the 3 classes are 0\.\.2 and ignored pixels 255"),
        ({7: -1}, "maps value 7 to -1"),
        ({7: "raod"}, r"to 'raod', which is no class \(near: road\)"),
        ({7: True}, "maps value 7 to True: write a class name"),
        ({7: None}, "maps value 7 to None"),
        ({7: [0]}, r"maps value 7 to \[0\]"),
        ({True: 0}, "maps True, which is no value of a mask"),
        ({"road": 7}, r"maps 'road', which is no value .* in front of the colons"),
        ({-1: 0}, "maps -1, which is no value"),
        ({65536: 0}, "maps 65536, .* from 0 to 65535"),
        ({7: 0, "7": 1}, "names value 7 twice"),
        ({}, r"LABEL_MAP is \{\}: give a label or a class name for each value"),
        ([0, 1], r"LABEL_MAP is \[0, 1\]: give"),
        ("none.yaml", "no such file: none.yaml; LABEL_MAP is a mapping, or"),
    ],
)
def test_a_map_that_cannot_be_right_is_refused_with_its_value(folders, label_map, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says) as error:
        registered(folders, label_map)
    assert str(error.value).startswith("DATASETS.CUSTOM[0]: ")
    assert NAME not in DatasetCatalog.list()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("map.yaml", "- 1", r"map.yaml is \[1\]: give"),
        ("map.yaml", "{0: [", "map.yaml.* is not YAML"),
        ("map.yaml", "[" * 5000, "map.yaml nests too deeply"),
        ("map.yaml", "!!python/name:os.system", "map.yaml.*is refused"),
        ("map.yaml", "0: 255\n\x1b: 1", "map.yaml is not YAML: .*special characters"),
        ("map.yaml", "!!timestamp x: 0", "map.yaml, line 1 is not YAML: 'x' is no timestamp"),
        ("map.yaml", "0: 255\n7: 2000-99-99", "map.yaml, line 2 .*'2000-99-99' is no timestamp"),
        ("map.json", f'{{"0": {"9" * 5000}}}', "map.json is not JSON: Exceeds the limit"),
        ("map.json", f'{{"{"9" * 5000}": 0}}', "map.json maps '999.*is no value of a mask"),
        ("map.csv", f"0,{'9' * 5000}", "map.csv maps value 0 to '999.*, which is no class"),
        ("map.json", "{", "map.json, line 1 is not JSON"),
        ("map.json", '{"7": 0, "7": 1}', "map.json has the key '7' twice"),
        ("map.csv", "7,0\n7,1", "map.csv names value 7 twice"),
        ("map.csv", "0,0,7,road", "several numbers in a line, 0,0,7,road, and no line that names"),
        ("map.csv", "value,class", r"map.csv is \{\}: give"),
        ("map.csv", "road\ntree", 'map.csv has no values of masks: give a line such as "7,road"'),
        ("map.txt", "0,255\n7 road", "map.txt"),
        ("map.txt", "", r"map.txt is \{\}: give"),
        ("map.csv", "7,Stra\xdfe", "map.csv is not in UTF-8"),
        ("map.json", '{"7": "Stra\xdfe"}', "map.json is not in UTF-8"),
        ("map.csv", "7,road\nname,car", "map.csv has no values of masks"),
    ],
)
def test_a_file_that_is_no_map_is_named(folders, tmp_path, name, text, says):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=says):
        registered(folders, str(tmp_path / name))


def test_zero_is_ignored_and_the_others_count_from_one(folders, tmp_path):
    mask = np.array([[0, 1, 3, 255]], np.uint8)
    write_png(tmp_path / "masks/a.png", mask)
    entry = {**folders, "CLASSES": CLASSES, "REDUCE_ZERO_LABEL": True}
    register_from_config([entry])
    record = DatasetCatalog.get(NAME)[0]
    assert read_labels(record).tolist() == [[255, 0, 2, 255]]
    assert MetadataCatalog.get(NAME).label_map == record[LABEL_MAP]
    write_png(tmp_path / "masks/a.png", mask + np.array([0, 0, 1, 0], np.uint8))
    with pytest.raises(ValueError, match=r"a.png contains value 4 \(25.0 % .* row 0, column 2"):
        read_labels(record)
    for wrong, says in (({"LABEL_MAP": {1: 0}}, "both given"), ({"REDUCE_ZERO_LABEL": 1}, "is 1")):
        with pytest.raises(ValueError, match=says):
            register_from_config([{**entry, **wrong}])


def test_values_of_16_bits_are_mapped_and_an_unknown_one_is_named(folders, tmp_path):
    """As in Cityscapes' instanceIds: 26001 is the second car."""
    write_png(tmp_path / "masks/a.png", np.array([[7, 26000, 26001, 65535]], np.uint16))
    label_map = {7: 0, 26000: "car", 26001: "car", 65535: 255}
    assert read_labels(registered(folders, label_map)).tolist() == [[0, 1, 1, 255]]
    del label_map[65535]
    record = registered(folders, label_map)
    with pytest.raises(ValueError, match=r"a.png contains value 65535 .*column 3.*Add these"):
        read_labels(record)
    del record[LABEL_MAP]
    with pytest.raises(ValueError, match=r"with values 7..65535, need 0..255; .*LABEL_MAP"):
        read_labels(record)
    with pytest.raises(ValueError, match="contains value 26000, 26001, 65535 "):
        read_labels({**record, LABEL_MAP: LabelMap("these", {7: 0}, "")})


@pytest.mark.parametrize(
    ("label_map", "says"),
    [
        ({0: 0, 7: 1, 8: 1, 26: 1}, r"no value of the masks gives class left wing \(2\)"),
        ({0: 0, 7: 1, 8: 2, 255: 1}, r"value 255, .* becomes class car \(1\): map it to 255"),
    ],
)
def test_suspicious_maps_are_warned_about_and_found_by_the_validator(
    folders, label_map, says, caplog
):
    registered(folders, label_map)
    assert re.search(f"{NAME}: .*{says}", caplog.text)
    findings = from_name(NAME).findings
    (finding,) = [f for f in findings if f.kind == LABEL_MAP]
    assert re.search(says, str(finding))
    assert str(finding).startswith("WARN ")


def test_a_binary_mask_of_0_and_255_is_no_reason_to_warn(folders, tmp_path, caplog):
    write_png(tmp_path / "masks/a.png", np.array([[0, 255]], np.uint8))
    record = registered(folders, {0: 0, 255: 1}, ["ground", "object"])
    assert read_labels(record).tolist() == [[0, 1]]
    assert not caplog.records


def test_another_ignored_label_and_all_labels_in_use():
    label_map = make_label_map(["a", "b"], 11, {0: 0, 1: "b", 5: 11})
    assert label_map.apply(np.array([[0, 1, 5]], np.uint8), "m").tolist() == [[0, 1, 11]]
    names = [f"class {i}" for i in range(255)]
    most = make_label_map(names[:254], 254, {i: i for i in range(255)})  # 255 labels
    assert most.apply(np.array([[254, 0]], np.uint8), "m").tolist() == [[254, 0]]
    with pytest.raises(ValueError, match="contains value 255 "):
        most.apply(np.array([[254, 255]], np.uint8), "m")
    with pytest.raises(ValueError, match="256 labels, where 255 are possible"):
        make_label_map(names, 255, {i: i for i in range(256)})


def test_a_map_is_small_when_pickled_and_made_once():
    label_map = LabelMap("values", {i: i % 150 for i in range(3000)}, "hint")
    data = pickle.dumps(label_map)
    assert len(data) < 10_000
    again = pickle.loads(data)
    assert again == label_map
    assert hash(again) == hash(label_map)
    assert pickle.loads(data) is again
    assert again != LabelMap("values", {0: 1}, "hint")


def test_training_evaluation_and_validator_see_the_same_labels(folders, tmp_path):
    """The evaluator scores a prediction of the mapped labels as perfect."""
    record = registered(folders, {0: 255, 7: 0, 8: 1, 26: "left wing"})
    cfg = small_cfg("DATASETS.TRAIN", (NAME,), "INPUT.RANDOM_FLIP", "none")
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    mapper = SemSegMapper(
        True, augmentations=[], image_format="BGR", num_classes=3, ignore_label=255
    )
    seen = mapper(record)
    assert columns(seen["sem_seg"].numpy()) == [255, 0, 1, 2]
    assert LABEL_MAP not in seen
    evaluator = SegmentationEvaluator(NAME, distributed=False)
    predicted = seen["sem_seg"].clone()
    predicted[predicted == 255] = 0
    evaluator.process([{"file_name": record["file_name"]}], [{"sem_seg": predicted}])
    predicted[:, 2:4] = 1  # A quarter of the pixels, all of the road, are wrong.
    assert evaluator.evaluate()["sem_seg"]["mIoU"] == 100
    evaluator.reset()
    evaluator.process([record], [{"sem_seg": predicted}])
    assert evaluator.evaluate()["sem_seg"]["mIoU"] == pytest.approx(100 * (0 + 0.5 + 1) / 3)

    report = validate(from_name(NAME), num_workers=1, progress=False)
    assert report.ok
    assert report.statistics.pixels[[0, 1, 2, 255]].tolist() == [8, 8, 8, 8]
    (line,) = [str(f) for f in report.findings if f.kind == LABEL_MAP]
    assert "0 -> ignored, 7 -> road, 8 -> car, 26 -> left wing" in line


def test_validator_names_values_that_the_map_lacks_and_those_of_it_in_no_mask(folders):
    registered(folders, {0: 255, 7: 0, 8: 1, 9: 2})
    report = validate(from_name(NAME), num_workers=1, progress=False)
    assert not report.ok
    assert "a.png contains value 26 (25.0 % of its pixels" in str(report.findings[0])
    registered(folders, {0: 255, 7: 0, 8: 1, 26: 2, 9: 2})
    report = validate(from_name(NAME), num_workers=1, progress=False)
    assert "in no mask: 9" in str(next(f for f in report.findings if f.kind == LABEL_MAP))


def test_a_run_keeps_the_map_as_written_and_detectron2s_mapper_is_refused(folders, tmp_path):
    label_map = {0: 255, 7: "road", 8: 1, 26: 2}
    entry = {**folders, "CLASSES": CLASSES, "LABEL_MAP": label_map}
    entry["FLIP_LABEL_PAIRS"] = []
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"DATASETS": {"CUSTOM": [entry], "TRAIN": [NAME]}}))
    cfg = load_cfg(str(path))
    path.write_text(cfg.dump())
    cfg = load_cfg(str(path))
    assert cfg.DATASETS.CUSTOM[0]["LABEL_MAP"] == label_map
    cfg.MODEL.META_ARCHITECTURE = "PaddingAwareSegmentor"
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    cfg.DATASETS.TEST = ()
    task_of(cfg).check_datasets(is_train=True)
    cfg.INPUT.SEM_SEG_MAPPER = "detectron2"
    with pytest.raises(ValueError, match=f"{NAME} has a label map, which INPUT.SEM_SEG_MAPPER det"):
        task_of(cfg).check_datasets(is_train=True)


def test_registering_with_another_map_replaces_the_dataset(folders):
    arguments = NAME, folders["IMAGES"], folders["MASKS"], CLASSES
    for label_map, first in (({0: 0, 7: 1, 8: 2, 26: 2}, 0), ({0: 2, 7: 1, 8: 0, 26: 0}, 2)):
        register_sem_seg(*arguments, label_map=label_map)
        assert columns(read_labels(DatasetCatalog.get(NAME)[0]))[0] == first
    register_sem_seg(*arguments)
    assert MetadataCatalog.get(NAME).get(LABEL_MAP) is None
    assert columns(read_labels(DatasetCatalog.get(NAME)[0])) == [0, 7, 8, 26]


@pytest.mark.parametrize("reduce", [False, True])
def test_folders_are_validated_with_a_map(folders, tmp_path, reduce):
    """As tools/validate_dataset.py --images --masks with --label-map or --reduce-zero-label."""
    (tmp_path / "map.yaml").write_text("{0: 255, 7: 0, 8: 1, 26: 1}")
    given = [None, True] if reduce else [str(tmp_path / "map.yaml")]
    classes = 26 if reduce else 2
    source = from_folders(folders["IMAGES"], folders["MASKS"], classes, 255, *given)
    report = validate(source, num_workers=1, progress=False)
    assert report.ok
    values = np.flatnonzero(report.statistics.pixels).tolist()
    assert values == ([6, 7, 25, 255] if reduce else [0, 1, 255])
    source = from_folders(folders["IMAGES"], folders["MASKS"], 3, 255, "gone.yaml")
    assert "no such file: gone.yaml" in str(source.findings[0])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.csv", "7,ground\n8,tree\n26,water"),
        ("map.csv", '7,"ground"\n8, "tree"\n26,water'),
        ("map.tsv", "value\tclass\n7\tground\n8\ttree\n26\twater"),
        ("map.csv", "id,name,r,g,b\n7,ground,1,2,0\n8,tree,9,9,255\n26,water,0,0,1"),
        ("map.csv", "name,id\nground,7\ntree,8\nwater,26"),
        ("map.txt", "# from the tool\n7 ground\n8 tree\n26 water"),
        ("map.txt", "7: ground\n8: tree\n26: water"),
    ],
)
def test_a_class_list_with_values_is_a_map(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    label_map = make_label_map(["ground", "tree", "water"], 255, str(tmp_path / name))
    assert label_map.labels == {7: 0, 8: 1, 26: 2}


def test_numbers_of_the_class_list_and_of_the_map_must_not_disagree(tmp_path):
    (tmp_path / "classes.txt").write_text("1 ground\n2 tree\n3 water\n")
    arguments = str(tmp_path / "classes.txt"), 255
    with pytest.raises(
        ValueError, match=r"maps value 1 to 1, but CLASSES numbers its classes 1..3"
    ):
        classes_and_map(*arguments, {0: 255, 1: 1, 2: 2}, False)
    listed, label_map = classes_and_map(*arguments, {0: 255, 1: "ground", 2: "tree"}, False)
    assert listed.names == ("ground", "tree", "water")
    assert label_map.labels == {0: 255, 1: 0, 2: 1}
    _, label_map = classes_and_map(*arguments, str(tmp_path / "classes.txt"), False)
    assert label_map.labels == {1: 0, 2: 1, 3: 2}
