"""Command lines of the tools with generated flags, values and overrides."""

import contextlib
import io
import os
import runpy
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vt_seg.visualization  # noqa: F401  (before a limit counts the time of imports)

from .outcomes import generated, outcome

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/vtfpn_R18_scenes.yaml")
FLAGS = {
    "tools/train_net.py": [
        "--config-file",
        "--eval-only",
        "--resume",
        "--num-gpus",
        "--machine-rank",
    ],
    "tools/demo.py": ["--config-file", "--input", "--dataset", "--num", "--output", "--opts"],
    "tools/validate_dataset.py": [
        *("--config-file", "--images", "--masks", "--classes", "--ignore-label", "--split"),
        *("--split-list", "--label-map", "--reduce-zero-label", "--image-suffix", "--subset"),
        *("--quick", "--num-workers", "--json", "--opts"),
    ],
    "tools/visualize_data.py": ["--config-file", "--split", "--num", "--output", "--opts"],
    "tools/visualize_tokens.py": ["--config-file", "--input", "--output", "--opts"],
    "tools/analyze_model.py": ["--config-file", "--size", "--opts"],
    "datasets/convert_masks.py": ["--images", "--output", "--colors", "--classes", "--workers"],
}
COMMANDS = ["coco", "labelme", "colors", "voc", "ade20k", "supervisely", "datumaro", "yolo"]
WHAT = ["--", "DATASETS.", "datasets/", "command", "arguments", "overrides"]
VALUES = ["no_such_file", "", "0", "-1", "two", "1e3", "9" * 20, "é", "/", ".", "\0", "a" * 300]
VALUES += [CONFIG, "SEED", "SEED=1", "MODEL.WEIGHTS", "x.pth", "SOLVER.MAX_ITER", "--", "-", "{id}"]
VALUES += ["vt_scenes_val", "DATASETS.TEST", "()", "SEED.X", "None", "*.jpg", "[", "--opts", "a,b"]


class Ended(ValueError):
    """What a tool printed when it ended with another code than 0."""


@pytest.fixture(scope="module", autouse=True)
def _empty_folder(tmp_path_factory):
    """No relative path leads anywhere, and nothing is written into the project."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("command_lines"))
    yield
    os.chdir(before)


def run(script, words):
    """Run a script; return what it printed, or raise `Ended` with it."""
    argv, sys.argv = sys.argv, [script, *words]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as end:
        if end.code not in (0, None):
            said = end.code if isinstance(end.code, str) else ""
            raise Ended(f"{printed.getvalue()}{said}") from end
    finally:
        sys.argv = argv
    return printed.getvalue()


def words_of(script):
    one = st.sampled_from([*FLAGS[script], *VALUES])
    slip = st.sampled_from(FLAGS[script]).map(lambda flag: flag.replace("-", "_").lstrip("_"))
    slip = slip.map("--{}".format)
    start = st.just([])
    if "convert" in script:
        start = st.sampled_from(COMMANDS).map(lambda command: [command])
    elif "validate" in script:
        start = st.sampled_from([[], ["--images", "a", "--masks", "b", "--classes"]])
    else:
        start = st.sampled_from([[], ["--config-file", CONFIG]])
    return st.builds(lambda a, b: [*a, *b], start, st.lists(st.one_of(one, one, slip), max_size=5))


LINES = st.sampled_from([*FLAGS]).flatmap(lambda s: st.tuples(st.just(s), words_of(s)))


@generated(80)
@given(line=LINES)
def test_odd_command_lines_end_in_a_sentence(line):
    """It names a word of the line, a flag that is missing, or the file of the config."""
    script, words = line
    names = [word or "''" for word in words]
    outcome(lambda: run(script, words), *names, *WHAT)
