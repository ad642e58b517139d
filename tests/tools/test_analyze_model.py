"""The tables that a user asks for; their numbers are tested in tests/test_complexity.py."""

import argparse

import pytest

from vt_seg.cli.analyze import image_size, main


def test_table_of_a_segmentation_model(tools):
    config = "configs/vtfpn_R50_cocostuff.yaml"
    said = tools.run("analyze_model.py", "--config-file", config, "--size", "800x1216", "473x473")
    lines = said.splitlines()
    assert lines[0] == f"{config}, 54 classes, one image"
    assert lines[1].split() == ["part", "GMACs", "800x1216", "GMACs", "473x473", "params", "M"]
    assert [line.split()[0] for line in lines[3:]] == ["backbone", "neck", "head", "total"]
    assert lines[4].split()[1:3] == ["8.21", "1.98"]


def test_table_of_a_classifier(capsys):
    config = "configs/imagenet/resnet_R18_default.yaml"
    main(["--config-file", config])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{config}, 1000 classes, one image"
    assert lines[1].split() == ["part", "GMACs", "224x224", "params", "M"]
    assert [line.split() for line in lines[3:]] == [
        ["backbone", "1.81", "11.18"],
        ["head", "0.00", "0.51"],
        ["total", "1.81", "11.69"],
    ]


def test_image_sizes_are_parsed():
    assert image_size("800x1216") == image_size("800X1216") == (800, 1216)
    for wrong in ("473", "0x5", "axb", "1x2x3"):
        with pytest.raises(argparse.ArgumentTypeError, match=wrong):
            image_size(wrong)
