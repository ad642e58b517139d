"""The tables as a user asks for them; the figures themselves are tested in tests/analysis."""

import argparse

import pytest

from tools.analyze_model import image_size, parse, print_costs

from .conftest import ROOT


def test_table(tools):
    config = "configs/vtfpn_R50_cocostuff.yaml"
    said = tools.run("analyze_model.py", "--config-file", config, "--size", "800x1216", "473x473")
    lines = said.splitlines()
    assert lines[0] == f"{config}, 54 classes, one image"
    assert lines[1].split() == ["part", "GMACs", "800x1216", "GMACs", "473x473", "params", "M"]
    assert [line.split()[0] for line in lines[3:]] == ["backbone", "neck", "head", "total"]
    assert lines[4].split()[1:3] == ["8.21", "1.98"]


def test_classifier(capsys):
    config = "configs/imagenet/resnet_R18_default.yaml"
    print_costs(config, None, [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{config}, 1000 classes, one image"
    assert lines[1].split() == ["part", "GMACs", "224x224", "params", "M"]
    assert [line.split() for line in lines[3:]] == [
        ["backbone", "1.81", "11.18"],
        ["head", "0.00", "0.51"],
        ["total", "1.81", "11.69"],
    ]


def test_tables_of_the_paper(tools, tmp_path):
    written = tmp_path / "paper_tables.md"
    said = tools.run("analyze_model.py", "--paper", "v4-7", "v4-2", "--output", written)
    document = written.read_text(encoding="utf-8")
    # Of the committed document, this is a part.
    committed = (ROOT / "docs/paper_tables.md").read_text(encoding="utf-8").split("\n## ")
    headings = ["# The", "v4 Table 7", "v4 Table 2"]
    parts = document.split("\n## ")
    assert [part[: len(heading)] for part, heading in zip(parts, headings, strict=True)] == headings
    assert {part.strip() for part in parts} < {part.strip() for part in committed}
    lines = said.splitlines()
    assert [line[:10] for line in lines if line.startswith("v4 Table")] == headings[1:]
    assert lines[-1] == f"Written: {written}"


def test_where_the_tables_are_written():
    default = ROOT / "docs/paper_tables.md"
    assert parse(["--paper"]).output == default
    assert parse(["--paper", "--no-write"]).output is None
    # Some tables are not the document.
    assert parse(["--paper", "v1-4"]).output is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--paper", "v5-1"],
        ["--paper", "--config-file", "a.yaml"],
        ["--paper", "--size", "224x224"],
        ["--paper", "--opts", "MODEL.DEVICE", "cpu"],
        ["--paper", "--output", "a.md", "--no-write"],
        ["--config-file", "a.yaml", "--output", "a.md"],
    ],
)
def test_flags_that_do_not_go_together(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(arguments)
    assert "--paper" in capsys.readouterr().err


def test_sizes():
    assert image_size("800x1216") == image_size("800X1216") == (800, 1216)
    for wrong in ("473", "0x5", "axb", "1x2x3"):
        with pytest.raises(argparse.ArgumentTypeError, match=wrong):
            image_size(wrong)
