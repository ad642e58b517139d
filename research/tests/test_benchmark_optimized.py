"""What the script measures runs and gives comparable results."""

from dataclasses import replace

from research.benchmark import necks, segmentors
from research.benchmark.settings import Settings
from research.benchmark_optimized import (
    PARTS,
    ROOT,
    optimized_neck,
    our_labels,
    parse,
    section_name,
)
from research.marked_section import read_document

SMALL = Settings(ROOT / "configs", size=(64, 96), classes=(5, 7))


def test_optimized_neck_gives_the_maps_of_the_plain_neck():
    plain = necks.neck_forward(SMALL, segmentors.VT_SEG, channels_last=True)()
    for got, expected in zip(optimized_neck(SMALL)(), plain, strict=True):
        assert got.shape == expected.shape


def test_optimized_and_stock_model_predict_the_same_labels():
    (optimized,), stock = our_labels(SMALL)(), our_labels(SMALL, stock=True)()
    assert optimized.shape == (64, 96)
    assert (optimized == stock).float().mean() > 0.999


def test_all_parts_are_measured_into_a_section_of_the_document():
    args = parse([])
    assert args.parts == list(PARTS)
    backbones = (args.backbone, "efficientnet_lite0", "convnext_tiny")
    assert read_document(args.report, [section_name(name) for name in backbones])


def test_necks_read_the_channels_of_a_timm_backbone():
    settings = replace(SMALL, backbone="efficientnet_lite0")
    assert necks.level_channels(settings) == (24, 40, 112, 320)
    assert necks.level_channels(SMALL) == (256, 512, 1024, 2048)
    maps = optimized_neck(settings)()
    assert [x.shape[1:] for x in maps] == [(256, 16, 24), (256, 8, 12), (256, 4, 6), (256, 2, 3)]
