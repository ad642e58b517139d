"""Configs never run code, old keys keep working, and an error is a sentence."""

import os
import pickle
import re
import runpy
import sys
from pathlib import Path

import pytest
from detectron2.utils.logger import _LOG_COUNTER

from tests.checkpoint.conftest import Marker
from vt_seg.engine import load_cfg
from vt_seg.modeling.vt_config import vt_config

ROOT = Path(__file__).parents[1]

# Each would create the file {0}, were it loaded unsafely.
TAGS = {
    "apply": "OUTPUT_DIR: !!python/object/apply:os.mkdir ['{0}']",
    "apply with keywords": "SEED: !!python/object/apply:os.mkdir {{kwds: {{path: '{0}'}}}}",
    "new": "OUTPUT_DIR: !!python/object/new:os.mkdir ['{0}']",
    "in a list": "DATASETS: {{CUSTOM: [{{NAME: !!python/object/apply:os.mkdir ['{0}']}}]}}",
    "as a key": "? !!python/object/apply:os.mkdir ['{0}']\n: 1",
    "name": "OUTPUT_DIR: !!python/name:os.system ''",
    "module": "OUTPUT_DIR: !!python/module:os ''",
    "tuple": "INPUT: {{MIN_SIZE_TRAIN: !!python/tuple [1, 2]}}",
}


@pytest.fixture
def ran(tmp_path):
    return tmp_path / "ran"


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("where", ["itself", "base", "list of bases"])
def test_tags_that_make_python_objects_are_refused(tmp_path, ran, tag, where):
    evil, config = tmp_path / "evil.yaml", tmp_path / "config.yaml"
    evil.write_text(TAGS[tag].format(ran))
    base = {"base": "evil.yaml", "list of bases": "[harmless.yaml, evil.yaml]"}.get(where)
    (tmp_path / "harmless.yaml").write_text("SEED: 1\n")
    config.write_text(f"_BASE_: {base}\n" if base else evil.read_text())
    with pytest.raises(ValueError, match="the tag") as error:
        load_cfg(str(config))
    refused = config if where == "itself" else evil
    name = re.search(r"!!\S+", TAGS[tag])[0]
    assert str(error.value) == (
        f"{refused}, line 1: the tag {name} is refused: texts, numbers, lists and mappings alone "
        "are read, as tags that make Python objects can run code"
    )
    assert not ran.exists()


@pytest.mark.parametrize("key", ["OUTPUT_DIR", "DATASETS.CUSTOM", "SEED"])
@pytest.mark.parametrize(
    "code",
    ["__import__('os').mkdir('{0}')", "[__import__('os').mkdir('{0}')]", TAGS["apply"][12:]],
)
def test_overrides_are_literals(ran, key, code):
    value = code.format(ran)
    if key == "OUTPUT_DIR":
        assert value == load_cfg("", [key, value]).OUTPUT_DIR
    else:
        with pytest.raises(ValueError, match=f"{key} is given a text and needs"):
            load_cfg("", [key, value])
    assert not ran.exists()


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
@pytest.mark.parametrize("in_file", [True, False])
def test_proposal_files_are_not_unpickled(monkeypatch, tmp_path, ran, split, in_file):
    """Detectron2's loaders unpickle what DATASETS.PROPOSAL_FILES_* name."""
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Marker(ran)))
    files = f"('{tmp_path}/evil.pkl',)"
    config, overrides = ROOT / "configs/panoptic_vtfpn_R50.yaml", []
    if in_file:
        base, config = config, tmp_path / "config.yaml"
        keys = f"MODEL:\n  LOAD_PROPOSALS: True\nDATASETS:\n  PROPOSAL_FILES_{split}: {files}\n"
        config.write_text(f"_BASE_: {base}\n{keys}")
    else:
        overrides = ["MODEL.LOAD_PROPOSALS", "True", f"DATASETS.PROPOSAL_FILES_{split}", files]
    flags = [] if split == "TRAIN" else ["--eval-only"]
    says = "error: MODEL.LOAD_PROPOSALS is True: Detectron2 unpickles"
    run_script(monkeypatch, "tools/train_net.py", says, "--config-file", config, *flags, *overrides)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("tools/train_net.py", ()),
        ("tools/train_net.py", ("--eval-only",)),
        ("tools/demo.py", ("--input", "a.jpg")),
        ("tools/analyze_model.py", ()),
        ("tools/visualize_data.py", ()),
        ("tools/visualize_tokens.py", ("--input", "a.jpg")),
        ("tools/validate_dataset.py", ()),
    ],
)
def test_no_tool_runs_code_of_a_config(monkeypatch, tmp_path, ran, script, flags):
    """Nor ends in a traceback: of a `SystemExit`, Python prints the message alone."""
    evil, config = tmp_path / "evil.yaml", tmp_path / "config.yaml"
    evil.write_text(TAGS["apply"].format(ran))
    config.write_text("_BASE_: evil.yaml\n")
    says = f"^error: {evil}, line 1: the tag !!python/object/apply:os.mkdir is refused"
    run_script(monkeypatch, script, says, "--config-file", config, *flags)
    assert not ran.exists()


def test_sweep_runs_no_code_of_a_config(monkeypatch, tmp_path, ran):
    (tmp_path / "row.yaml").write_text(TAGS["apply"].format(ran))
    arguments = ["--configs", tmp_path / "row.yaml", "--output", tmp_path / "out"]
    arguments += ["--table", tmp_path / "table.md"]
    run_script(monkeypatch, "research/run_ablations.py", "^error: .*row.yaml, line 1: ", *arguments)
    assert not ran.exists()
    assert not (tmp_path / "out").exists()


def run_script(monkeypatch, script, says, *arguments):
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    with pytest.raises(SystemExit, match=says):
        runpy.run_path(str(ROOT / script), run_name="__main__")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SOLVER: {MAX_ITERS: 3}", "no config key SOLVER.MAX_ITERS (near: SOLVER.MAX_ITER"),
        ("SOLVER: 3", "SOLVER is given a whole number and needs a node of keys"),
        (
            "SOLVER: {STEPS: 3}",
            "STEPS is given a whole number and needs a tuple: write (3,), with the",
        ),
        ("OUTPUT_DIR: 2026-11-26", "OUTPUT_DIR is given a date, which no key holds: put a text in"),
        ("SEED: 1\nOUTPUT_DIR: 2000-99-99", "line 2 is not YAML: '2000-99-99' is no timestamp;"),
        ("SEED: !!float ''", "line 1 is not YAML: '' is no float; correct that line"),
        (f"_BASE_: {'a' * 300}", "cannot be read ([Errno 36] File name too long: "),
        ("SEED: !!int x", "line 1 is not YAML: 'x' is no int; correct that line"),
        ("- SOLVER", "is no mapping of keys to values: write KEY: VALUE lines"),
        ("", "is no mapping of keys to values: write KEY: VALUE lines"),
        ("SOLVER: {", "config.yaml, line 1 is not YAML"),
        ("SOLVER:\n\tX: 1", "config.yaml, line 2 is not YAML: found character '\\t' that cannot"),
        ("SOLVER:", "SOLVER is given nothing and needs a node of keys such as SOLVER."),
        (
            "SOLVER: {BASE_LR: 2}",
            "SOLVER.BASE_LR is given a whole number and needs a decimal number:",
        ),
        ("SOLVER: {MAX_ITER: 9e4}", "and needs a whole number: write 90000"),
        ("SOLVER: {MAX_ITER: 90,000}", ": 0 stands in the place of a key, which is a text: write"),
        ("SOLVER: {AMP: {ENABLED: 'on'}}", "is given a text and needs True or False, not on"),
        (
            "OUTPUT_DIR: yes",
            "OUTPUT_DIR is given True or False and needs a text: write True in quotes",
        ),
        (
            "DATASETS: {TRAIN: my}",
            "TRAIN is given a text and needs a tuple: write ('my',), with the",
        ),
        (
            'DATASETS: {TEST: ("my")}',
            "TEST is given a text and needs a tuple: write ('my',), with the",
        ),
        (
            "DATASETS: {CUSTOM: {NAME: x}}",
            "needs a list of entries: write [{NAME: ..., IMAGES: ...,",
        ),
        (
            "SEED: 1\nSEED: 2",
            "config.yaml, line 2: SEED was given in line 1, too, so that one of th",
        ),
        (
            "SOLVER: {GAMMA: .1}\nSEED: 1\nSOLVER: {BASE_LR: .1}",
            "line 3: SOLVER was given in line 1",
        ),
        ("SOLVER: {MAX_ITER: 3, MAX_ITER: 4}", "line 1: MAX_ITER was given in line 1"),
        ("MODEL.WEIGHTS: x", "MODEL.WEIGHTS is a key below MODEL: write MODEL: {WEIGHTS: VALUE}"),
        ("solver: {}", "there is no config key solver (near: SOLVER"),
        ("A: b: c", "line 1 is not YAML: mapping values are not allowed here; indent the keys of"),
        ("SEED: 1\n---\nSEED: 2", "; keep one of the documents that --- separates"),
        ("_BASE_: gone.yaml", "gone.yaml; correct its _BASE_"),
        ("_BASE_: 3", ": _BASE_ is 3: name a file, or a list of files"),
        ("_BASE_: [a.yaml, {b: c}]", ": _BASE_ is ['a.yaml', {'b': 'c'}]: name a file, or a"),
        ("MODEL: &m {x: *m}", ": a value contains itself by an alias (*) of its own anchor (&)"),
        ("DATASETS: {CUSTOM: &m [[*m]]}", ": a value contains itself by an alias"),
        ("SEED: !mine 3", ", line 1: the tag !mine is refused"),
        ("? [1]\n: 2", "config.yaml, line 1 is not YAML: found unhashable key"),
        ("_BASE_: config.yaml", "its _BASE_ files inherit each other in a circle"),
    ],
)
def test_error_in_a_file_is_a_sentence(tmp_path, text, says):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    with pytest.raises((ValueError, OSError)) as error:
        load_cfg(str(config))
    assert str(error.value).startswith(str(config))
    assert says in str(error.value)


def test_missing_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no config file .*no.yaml"):
        load_cfg(str(tmp_path / "no.yaml"))
    with pytest.raises(ValueError, match=r"https://host/a.yaml is an address: download the config"):
        load_cfg("https://host/a.yaml")
    os.mkfifo(tmp_path / "fifo.yaml")
    with pytest.raises(ValueError, match=r"fifo.yaml is a named pipe; only regular files"):
        load_cfg(str(tmp_path / "fifo.yaml"))
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(ValueError, match=r"image.yaml is not a text file but an image"):
        load_cfg(str(tmp_path / "image.yaml"))


CUSTOM = "[{'NAME': 'x', 'IMAGES': 5, 'MASKS': 5, 'CLASSES': 3}]"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["SOLVER.MAX_ITER"], "overrides are pairs KEY VALUE, and 'SOLVER.MAX_ITER' is left over"),
        (
            ["SOLVER.MAX_ITER=3"],
            "SOLVER.MAX_ITER=3 needs a space in place of =, write SOLVER.MAX_I",
        ),
        (
            ["SEED", "1", "SOLVER.MAX_ITER=3"],
            "=3 needs a space in place of =, write SOLVER.MAX_ITER 3",
        ),
        (["SOLVER.MAX_ITER", "=", "3"], "SOLVER.MAX_ITER = 3: leave out the ="),
        (["SEED", "1", "--eval-only"], "--eval-only stands among the overrides: write it before"),
        (["solver.max_iter", "1"], "there is no config key solver.max_iter (near: SOLVER.MAX_ITER"),
        (
            ["DATASETS.TEST", "('my')"],
            "is given a text and needs a tuple: write ('my',), with the co",
        ),
        (["DATASETS.TEST", "[my, b]"], "is given a text and needs a tuple: write ('my', 'b')"),
        (["SOLVER.MAX_ITR", "1"], "_ITR 1: there is no config key SOLVER.MAX_ITR (near: SOLVER.M"),
        (["SOLVERS.MAX_ITER", "1"], "there is no config key SOLVERS.MAX_ITER (near: SOLVER.MAX_I"),
        (["SOLVER.MAX_ITER.X", "1"], "there is no config key SOLVER.MAX_ITER.X"),
        (["SOLVER.MAX_ITER", "1.5"], "SOLVER.MAX_ITER is given a decimal number and needs a whole"),
        (["DATASETS.CUSTOM", CUSTOM], "DATASETS.CUSTOM[0]: "),
        (["", "3"], "'' 3: there is no config key ''"),
        (["SEED ", "3"], "'SEED ' 3: there is no config key 'SEED ' (near: SEED"),
        (["_BASE_", "a.yaml"], "The reserved key '_BASE_' can only be used in files"),
    ],
)
def test_error_in_overrides_is_a_sentence(overrides, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        load_cfg("", overrides)


def test_bases_are_inherited_in_their_order(tmp_path):
    (tmp_path / "a.yaml").write_text("SEED: 1\nSOLVER: {MAX_ITER: 10, STEPS: [5]}\n")
    (tmp_path / "b.yaml").write_text("INPUT: {PAD_TO: &s [8, 8], FIXED_SIZE: *s}\nSEED: 3\n")
    (tmp_path / "c.yaml").write_text("_BASE_: [a.yaml, b.yaml]\nSOLVER:\n  STEPS: (7, 9)\n")
    cfg = load_cfg(str(tmp_path / "c.yaml"))
    assert (cfg.SEED, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (3, 10, (7, 9))
    assert cfg.INPUT.PAD_TO == cfg.INPUT.FIXED_SIZE == (8, 8)  # an anchor that is no circle
    assert load_cfg(str(tmp_path / "c.yaml"), ["SEED", "2"]).SEED == 2


def test_merge_keys_and_exponents_are_read_as_yaml_means_them(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("SOLVER:\n  <<: {MAX_ITER: 7, GAMMA: 0.5}\n  GAMMA: 1e-3\n")
    solver = load_cfg(str(config)).SOLVER
    assert (solver.MAX_ITER, solver.GAMMA) == (7, 0.001)


def test_renamed_key_works_with_a_warning(tmp_path, log):
    _LOG_COUNTER.clear()
    old = tmp_path / "old.yaml"
    old.write_text("SOLVER: {OPTIMIZER: RMSProp}\n")
    solver = load_cfg(str(old)).SOLVER
    assert (solver.VT_OPTIMIZER, solver.OPTIMIZER) == ("RMSProp", "")
    assert "SOLVER.OPTIMIZER RMSProp is taken, and is an old key: write SOLVER.VT_OPT" in log.text
    for key in ("SOLVER.OPTIMIZER", "SOLVER.VT_OPTIMIZER"):  # overrides come after the file
        assert load_cfg(str(old), [key, "SGD"]).SOLVER.VT_OPTIMIZER == "SGD"
    with pytest.raises(ValueError, match=r'SOLVER.VT_OPTIMIZER is "ADAMW" .*: use one of SGD'):
        load_cfg("", ["SOLVER.OPTIMIZER", "ADAMW"])


@pytest.mark.parametrize("old_first", [True, False])
def test_file_overrides_its_base_by_either_name(tmp_path, old_first):
    base, own = ("OPTIMIZER", "VT_OPTIMIZER")[:: 1 if old_first else -1]
    (tmp_path / "base.yaml").write_text(f"SOLVER: {{{base}: AdamW}}\n")
    (tmp_path / "own.yaml").write_text(f"_BASE_: base.yaml\nSOLVER: {{{own}: RMSProp}}\n")
    assert load_cfg(str(tmp_path / "own.yaml")).SOLVER.VT_OPTIMIZER == "RMSProp"


def test_both_names_in_one_file_must_agree(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("SOLVER: {VT_OPTIMIZER: AdamW, OPTIMIZER: RMSProp}\n")
    with pytest.raises(ValueError, match=r"VT_OPTIMIZER AdamW and, by its old name, SOLVER.OPTIM"):
        load_cfg(str(config))
    for unset_or_same in ("AdamW", '""'):  # an earlier run's config.yaml has "" for an old key
        config.write_text(f"SOLVER: {{VT_OPTIMIZER: AdamW, OPTIMIZER: {unset_or_same}}}\n")
        assert load_cfg(str(config)).SOLVER.VT_OPTIMIZER == "AdamW"


@pytest.mark.parametrize("node", ["VT_FPN", "VT_RESNET"])
def test_old_name_of_positional_encoding_works(tmp_path, node):
    config = tmp_path / "old.yaml"
    config.write_text(f"MODEL: {{{node}: {{POSITION_CODE: False}}}}\n")
    old = f"MODEL.{node}.POSITION_CODE"
    for cfg in (load_cfg(str(config)), load_cfg("", [old, "False"])):
        assert cfg.MODEL[node].POSITIONAL_ENCODING is False
        assert cfg.MODEL[node].POSITION_CODE is None
    stock = load_cfg("")
    stock.merge_from_list([old, False])  # in Detectron2's own code
    config.write_text(stock.dump())  # which has both names
    assert load_cfg(str(config)).MODEL[node].POSITIONAL_ENCODING is False
    assert not vt_config(stock, node).positional_encoding


def test_config_in_utf_16_is_read_with_its_base(tmp_path):
    (tmp_path / "base.yaml").write_bytes("SEED: 3\n".encode("utf-16"))
    (tmp_path / "own.yaml").write_bytes("_BASE_: base.yaml\nOUTPUT_DIR: café\n".encode("utf-16"))
    cfg = load_cfg(str(tmp_path / "own.yaml"))
    assert (cfg.SEED, cfg.OUTPUT_DIR) == (3, "café")
