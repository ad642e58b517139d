"""The table as a user asks for it; the figures themselves are tested in tests/analysis."""

import argparse

import pytest

from tools.analyze_model import image_size


def test_table(tools):
    config = "configs/vtfpn_R50_cocostuff.yaml"
    said = tools.run("analyze_model.py", "--config-file", config, "--size", "800x1216", "473x473")
    lines = said.splitlines()
    assert lines[0] == f"{config}, 54 classes, one image"
    assert lines[1].split() == ["part", "GMACs", "800x1216", "GMACs", "473x473", "params", "M"]
    assert [line.split()[0] for line in lines[3:]] == ["backbone", "neck", "head", "total"]
    assert lines[4].split()[1:3] == ["8.54", "2.06"]


def test_sizes():
    assert image_size("800x1216") == image_size("800X1216") == (800, 1216)
    for wrong in ("473", "0x5", "axb", "1x2x3"):
        with pytest.raises(argparse.ArgumentTypeError, match=wrong):
            image_size(wrong)
