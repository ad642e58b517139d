"""Configs, their overrides, entries of DATASETS.CUSTOM and label maps with generated values."""

import csv
import io
import json
import os

import numpy as np
import pytest
import yaml
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from hypothesis import given
from hypothesis import strategies as st

from tests.data.image_files import write_png
from vt_seg.config import add_vt_seg_config
from vt_seg.config_file import flat_keys
from vt_seg.data import register_from_config
from vt_seg.data.label_map import make_label_map, user_label_map
from vt_seg.data.readers import read_labels
from vt_seg.engine import load_cfg

from .outcomes import Refused, damaged, generated, json_values, outcome

DEFAULTS = get_cfg()
add_vt_seg_config(DEFAULTS)
KEYS = sorted(key for key, _ in flat_keys(DEFAULTS))
VALUES = dict(flat_keys(DEFAULTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("yaml")


@pytest.fixture(autouse=True, scope="module")
def _unregistered():
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


# Configs


@generated(100)
@given(key=st.sampled_from(KEYS), value=json_values())
def test_odd_values_of_keys_are_taken_or_refused(folder, key, value):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(nested(key, value)))
    cfg = outcome(lambda: load_cfg(str(path)), path, key, "DATASETS.CUSTOM[")
    if not isinstance(cfg, Refused):
        got = dict(flat_keys(cfg))[key]
        if not isinstance(value, str):  # yacs evaluates texts.
            assert got == value or list(got) == list(value)


SLIPS = {
    "letter": lambda key: key[:-1],
    "case": str.lower,
    "dot": lambda key: key + ".",
    "equals": lambda key: key + "=",
    "dash": lambda key: "--" + key,
    "space": lambda key: key + " ",
}
OTHER_TYPES = {int: "a", float: "[1]", bool: "2", str: "3", tuple: "4", list: "5"}


@generated(100)
@given(
    key=st.sampled_from(KEYS), slip=st.sampled_from([*SLIPS, "type", "alone"]), after=st.booleans()
)
def test_slips_in_overrides_are_refused(key, slip, after):
    words = {
        "type": [key, OTHER_TYPES.get(type(VALUES[key]), "{")],
        "alone": [key],
    }.get(slip) or [SLIPS[slip](key), str(VALUES[key])]
    if slip == "type" and type(VALUES[key]) not in OTHER_TYPES:
        return
    words = ["SEED", "3", *words] if after else words
    assert isinstance(outcome(lambda: load_cfg("", words), *words[-2:]), Refused)


WORDS = st.sampled_from(
    ["", "=", "-", "--", "{", "[", "(", "()", "(1", "'", "None", "nan", "1e999", "0x", "*", "a",
     "1", "lambda: 0", "__import__('os')", "\0", "é", "1" * 5000, "(" * 300,
     "-" * 3000 + "1", "MODEL", "SOLVER", "_BASE_", "SEED", "MODEL.WEIGHTS", "DATASETS.TRAIN",
     "VERSION", "SEED.X", "."]
)  # fmt: skip


@generated(100)
@given(words=st.lists(st.one_of(WORDS, st.sampled_from(KEYS), st.text(max_size=5)), max_size=4))
def test_odd_overrides_are_taken_or_refused(words):
    outcome(lambda: load_cfg("", words), *(word or "''" for word in words))


CONFIGS = [
    b"_BASE_: base.yaml\nMODEL:\n  WEIGHTS: 'a.pth'\n  PIXEL_MEAN: [1.0, 2.0, 3.0]\nSEED: 3\n",
    b"DATASETS:\n  TRAIN: ('a',)\n  CUSTOM:\n  - {NAME: a, IMAGES: b, MASKS: c, CLASSES: [d, e]}\n",
    b"SOLVER: {BASE_LR: 0.1, STEPS: (10, 20), MAX_ITER: 30}\nINPUT: {FORMAT: RGB}\n",
]
PIECES = [b"", b"\n", b"\t", b":", b": ", b",", b'"', b"'", b"#", b"\xff", b"\0", b"{", b"]", b"- "]
PIECES += [
    b"&a ",
    b"*a",
    b"!!python/name:os.system ",
    b"!!binary x",
    b"? ",
    b"<<: ",
    b"---\n",
    b"|",
]
PIECES += [b"!!int x", b"!!float '' ", b"!!timestamp x", b"9" * 5000, b"2000-99-99", b"[" * 400]


@generated(120)
@given(content=damaged(CONFIGS, PIECES))
def test_damaged_configs_are_taken_or_refused(folder, content):
    path = folder / "damaged.yaml"
    (folder / "base.yaml").write_text("SEED: 2\n")
    path.write_bytes(content)
    keys = [key for key in KEYS if key.rpartition(".")[2].encode() in content]
    outcome(lambda: load_cfg(str(path)), path, "DATASETS.CUSTOM[", *keys)


# Entries of DATASETS.CUSTOM

ENTRY_KEYS = ["NAME", "IMAGES", "MASKS", "CLASSES", "SPLIT", "SPLIT_LIST", "IMAGE_SUFFIX"]
ENTRY_KEYS += ["MASK_SUFFIX", "SUBSET", "IGNORE_LABEL", "COLORS", "FLIP_LABEL_PAIRS", "LABEL_MAP"]
ENTRY_KEYS += ["REDUCE_ZERO_LABEL", "IMAGE_FOLDER", "images", "LABELS", "", 3, None]
ENTRY = {"NAME": "generated", "IMAGES": "images", "MASKS": "masks", "CLASSES": ["a", "b", "c"]}


@generated(200)
@given(changes=st.dictionaries(st.sampled_from(ENTRY_KEYS), json_values(), max_size=3))
def test_odd_entries_of_custom_datasets_are_registered_or_refused(changes):
    entry = {**ENTRY, **changes}
    if "IMAGE_FOLDER" in changes:
        del entry["IMAGES"], entry["MASKS"]
    outcome(lambda: register_from_config([{**ENTRY, "NAME": "first"}, entry]), "DATASETS.CUSTOM[1]")


@generated(40)
@given(entry=json_values())
def test_what_is_no_entry_is_refused(entry):
    assert isinstance(outcome(lambda: register_from_config([entry]), "DATASETS.CUSTOM[0]"), Refused)


# Label maps

CLASSES = ["road", "car", "sky", "tree"]
LABELS = st.sampled_from([0, 1, 2, 3, 255, *CLASSES])
MAPS = st.dictionaries(st.integers(0, 65_535), LABELS, min_size=1, max_size=6)


def write_map(folder, form, label_map):
    path = folder / f"map.{form}"
    if form == "json":
        path.write_text(json.dumps(label_map))
    elif form == "yaml":
        path.write_text(yaml.safe_dump(label_map))
    else:
        file = io.StringIO()
        csv.writer(file, delimiter="\t" if form == "txt" else ",").writerows(label_map.items())
        path.write_text(("value,class\n" if form == "csv" else "") + file.getvalue())
    return path


@generated(80)
@given(
    label_map=MAPS,
    form=st.sampled_from(["json", "yaml", "csv", "txt", "dict"]),
    others=st.lists(st.integers(0, 65_535), max_size=2),
)
def test_label_maps_give_the_labels_that_they_say(folder, label_map, form, others):
    """Masks with values that a map lacks are refused."""
    given_map = label_map if form == "dict" else write_map(folder, form, label_map)
    made = make_label_map(CLASSES, 255, given_map)
    numbers = {
        v: CLASSES.index(name) if isinstance(name, str) else name for v, name in label_map.items()
    }
    assert made.labels == numbers
    values = [*label_map, *others]
    dtype = np.uint8 if max(values) < 256 else np.uint16
    path = write_png(folder / "mask.png", np.array([values, values], dtype))
    got = outcome(lambda: read_labels({"sem_seg_file_name": path, "label_map": made}), path)
    if set(others) <= set(label_map):
        assert got.tolist() == [[numbers[value] for value in values]] * 2
    else:
        assert isinstance(got, Refused)


@generated(100)
@given(
    label_map=st.one_of(
        json_values(),
        st.dictionaries(
            st.one_of(st.integers(-2, 70_000), st.text(max_size=3), st.none(), st.booleans()),
            st.one_of(LABELS, json_values()),
            max_size=3,
        ),
    ),
    form=st.sampled_from(["json", "yaml", "dict"]),
)
def test_odd_label_maps_are_read_or_refused(folder, label_map, form):
    given_map = label_map if form == "dict" else write_map(folder, form, label_map)
    files = [] if isinstance(given_map, dict) else [os.path.expanduser(str(given_map))]
    made = outcome(lambda: user_label_map(given_map, CLASSES, 255), "LABEL_MAP", *files)
    assert isinstance(made, Refused) or set(made.labels.values()) <= {0, 1, 2, 3, 255}


MAP_FILES = [
    b"{0: 0, 7: road, 255: 255}\n",
    b'{"0": 0, "7": "car"}',
    b"value,name\n0,road\n7,sky\n",
]


@generated(100)
@given(
    content=damaged(MAP_FILES, [*PIECES, b"-1", b"3", b"\xb2"]),
    name=st.sampled_from(["m.json", "m.yaml", "m.csv", "m.txt"]),
)
def test_damaged_label_maps_are_read_or_refused(folder, content, name):
    path = folder / name
    path.write_bytes(content)
    made = outcome(lambda: user_label_map(path, CLASSES, 255), path)
    assert isinstance(made, Refused) or set(made.labels.values()) <= {0, 1, 2, 3, 255}
