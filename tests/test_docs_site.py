"""The extensions of the documentation site, which `make docs` builds: config keys and links."""

import importlib.util
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
