"""The documentation site: it builds without a warning, and its extensions do what they say."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from detectron2.config import CfgNode

import vt_seg
from vt_seg.config_file import flat_keys

DOCS = Path(__file__).parents[1] / "docs"


def extension(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_comments_of_keys_are_found():
    source = """
def _defaults():
    # A node.
    cfg.MODEL.A = _keys()
    # First line
    # and second.
    cfg.MODEL.A.ONE = 1
    cfg.MODEL.A.TWO = 2  # beside it
    _add(cfg.SOLVER)

def _keys():
    # In a function.
    node.THREE = 3

def _add(solver):
    solver.FOUR = 4
"""
    assert dict(extension("config_keys").key_comments(source)) == {
        "MODEL.A": "A node.",
        "MODEL.A.THREE": "In a function.",
        "MODEL.A.ONE": "First line and second.",
        "MODEL.A.TWO": "beside it",
        "SOLVER.FOUR": "",
    }


def test_every_key_has_a_row():
    module = extension("config_keys")
    cfg = CfgNode()
    vt_seg.add_vt_seg_config(cfg)
    defaults = dict(flat_keys(cfg))
    text = module.tables(module.SOURCE.read_text(encoding="utf-8"), defaults)
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(key.rpartition(".")[2] for key in defaults)


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("photos", "[data](../datasets/README.md#camvid)", "[data](datasets.md#camvid)"),
        ("photos", "[keys](../vt_seg/config.py)", "keys"),
        ("photos", "![plot](photos_camvid.png)", "![plot](/photos_camvid.png)"),
        ("photos", "[here](#below), [paper](https://arxiv.org/abs/2006.03677)", None),
        ("index", "[contribute](../CONTRIBUTING.md)", "[contribute](contributing.md)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page, text, expected):
    assert extension("repository_pages").page_text(page, text) == (expected or text)


def test_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, str(DOCS), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    assert {
        path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.html")
    } >= pages
    example = (DOCS.parent / "examples/predict_onnx.py").read_text().splitlines()[0]
    assert example[3:] in (tmp_path / "export.html").read_text()
    # Code in docstrings would not be run by a test.
    api = [path.name for path in (tmp_path / "api").iterdir() if "highlight-" in path.read_text()]
    assert not api, "move the code to a page in docs/"
