"""Maps are cropped to the image, and predictions of all kinds of models are drawn."""

import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from tests.small_configs import PYRAMID, small_cfg
from vt_seg.data import ImageReader
from vt_seg.visualization.tokens import TokenMaps, analyze_tokens
from vt_seg.visualization.tokens.analysis import level_maps, read_prediction

CLASSES = Metadata(stuff_classes=[f"class{i}" for i in range(5)])
SEA_AND_SAND = Metadata(
    stuff_classes=["sea", "sand"],
    stuff_colors=[(0, 0, 255), (255, 200, 0)],
    thing_classes=[],
    thing_colors=[],
)
IMAGE = np.full((60, 80, 3), 90, np.uint8)


def analyze(cfg, size, **record):
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    record = {"image": torch.randint(256, (3, *size), dtype=torch.uint8), **record}
    return record, analyze_tokens(
        model, record, name="x.jpg", images=ImageReader(), metadata=CLASSES
    )


def captured(attention, reads=None):
    return TokenMaps("neck.stack", 1, "res3", attention, ((1, 1),), reads, ())


# 473 / 4 = 118.25, rounded up: the last cell ends at 476. No stride gives 100 / 30 cells.
@pytest.mark.parametrize(("pixels", "cells", "covered"), [(473, 119, 476), (100, 30, 100)])
def test_cells_have_the_maps_stride_if_there_is_one(pixels, cells, covered):
    one = level_maps(captured(torch.ones(1, 1, 1, cells, cells)), (pixels,) * 2, (pixels,) * 2)
    assert one.covered == (covered, covered)


def test_padding_is_cut_off():
    # A batch of 64 x 64 at stride 8; the image is 40 x 50: 5 rows, 6.25 columns.
    attention = torch.zeros(2, 1, 1, 8, 8)
    attention[1, 0, 0, 4, 6] = 0.75
    attention[1, 0, 0, 5, 0] = 0.25  # in the padding
    one = level_maps(captured(attention), (40, 50), (64, 64), index=1)
    assert (one.attention.shape, one.covered) == ((1, 1, 5, 7), (40, 56))
    # 0.75 of the attention on one of 64 cells; the softmax ran over the padding too.
    assert one.attention[0, 0, 4, 6] == one.attention.sum() == 48
    assert one.inside.tolist() == [0.75]
    assert (one.stack, one.names, one.reads) == ("neck", ("res3/1",), None)


def test_attention_that_is_not_finite_is_refused():
    attention = torch.full((1, 1, 1, 4, 4), float("nan"))
    with pytest.raises(ValueError, match=r"neck\.stack, layer 1, res3: .* training that diverged"):
        level_maps(captured(attention), (4, 4), (4, 4))


def test_head_works_on_the_image_without_padding():
    record, seen = analyze(small_cfg(), (40, 72), height=400, width=720)
    # The network's input is BGR, and the prediction has its size.
    rgb = record["image"].permute(1, 2, 0).flip(-1)
    np.testing.assert_array_equal(seen.image_rgb, rgb)
    assert seen.prediction.labels.shape == (40, 72)
    assert list(seen.layers) == ["sem_seg_head.neck, layer 1"]
    shapes = [(one.attention.shape, one.reads.shape, one.covered) for one in seen.maps]
    assert shapes == [
        ((1, 4, 10, 18), (16, 4, 10, 18), (40, 72)),
        ((1, 4, 5, 9), (16, 4, 5, 9), (40, 72)),
        ((1, 4, 3, 5), (16, 4, 3, 5), (48, 80)),
        ((1, 4, 2, 3), (16, 4, 2, 3), (64, 96)),
    ]
    for one in seen.maps:
        np.testing.assert_allclose(one.inside, 1, rtol=1e-5)
        np.testing.assert_allclose(one.attention.mean((-2, -1)), 1, rtol=1e-5)
        np.testing.assert_allclose(one.reads.sum(1), 1, rtol=1e-5)


def test_backbone_pads_to_its_stride():
    cfg = small_cfg("MODEL.BACKBONE.NAME", "build_resnet_vt_fpn_backbone")
    cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = PYRAMID
    _, seen = analyze(cfg, (40, 72))
    # Padded to 64 x 96: of 16 x 24 cells at stride 4, 10 x 18 begin in the image.
    fine, *_, coarse = seen.maps
    assert (fine.level, coarse.level) == ("res2", "res5")
    assert (fine.attention.shape, fine.covered) == ((1, 4, 10, 18), (40, 72))
    assert (coarse.attention.shape, coarse.covered) == ((1, 4, 2, 3), (64, 96))
    np.testing.assert_allclose(fine.inside, fine.attention[0].sum((-2, -1)) / (16 * 24), rtol=1e-5)


def test_warped_image_is_shown_on_its_canvas():
    cfg = small_cfg("MODEL.META_ARCHITECTURE", "UnwarpingSemanticSegmentor")
    warp = np.array([[0.5, 0, 4], [0, 0.5, 0]])
    _, seen = analyze(cfg, (32, 32), height=64, width=48, warp=warp)
    assert (seen.image_rgb.shape, seen.prediction.labels.shape) == ((32, 32, 3), (32, 32))


def assert_blue_then_yellow(picture):
    """The left of a picture is more blue than red, and the right the other way round."""
    left, right = picture[:, : picture.shape[1] // 3], picture[:, -(picture.shape[1] // 3) :]
    assert left[..., 2].mean() > left[..., 0].mean() + 50
    assert right[..., 0].mean() > right[..., 2].mean() + 50


def test_semantic_segmentation():
    logits = torch.zeros(2, 60, 80)
    logits[1, :, 40:] = 1
    got = read_prediction({"sem_seg": logits}, IMAGE, SEA_AND_SAND)
    np.testing.assert_array_equal(got.labels, logits[1])
    from_labels = read_prediction({"sem_seg": logits.argmax(0).byte()}, IMAGE, SEA_AND_SAND)
    np.testing.assert_array_equal(from_labels.labels, got.labels)
    np.testing.assert_array_equal(from_labels.picture, got.picture)
    assert (got.classes, got.top) == (("sea", "sand"), ())
    assert_blue_then_yellow(got.picture)


def test_classification():
    logits = torch.tensor([0.0, 2.0, 1.0])
    got = read_prediction({"logits": logits}, IMAGE, Metadata(classes=["a", "b", "c"]), num_top=2)
    names, probabilities = zip(*got.top, strict=True)
    assert (names, got.picture, got.labels) == (("b", "c"), None, None)
    exponentials = np.exp([2, 1])
    np.testing.assert_allclose(probabilities, exponentials / (1 + exponentials.sum()), 1e-6)
    # Without names classes are numbered.
    got = read_prediction({"logits": logits}, IMAGE, Metadata())
    assert [name for name, _ in got.top] == ["class 1", "class 2", "class 0"]


def test_instances():
    instances = Instances((60, 80))
    instances.pred_boxes = Boxes(torch.tensor([[10.0, 10, 40, 40]]))
    instances.scores, instances.pred_classes = torch.tensor([0.9]), torch.tensor([0])
    got = read_prediction({"instances": instances}, IMAGE, Metadata(thing_classes=["boat"]))
    rows = np.argwhere((got.picture != IMAGE).any(-1))[:, 0]
    assert rows.min() <= 10 < 39 <= rows.max()
    assert got.labels is None


def test_panoptic():
    segments = torch.ones(60, 80, dtype=torch.int32)
    segments[:, 40:] = 2
    infos = [{"id": i + 1, "isthing": False, "category_id": i, "area": 2400} for i in range(2)]
    # A panoptic model gives all three predictions; the panoptic picture is taken.
    output = {"panoptic_seg": (segments, infos), "sem_seg": None}
    assert_blue_then_yellow(read_prediction(output, IMAGE, SEA_AND_SAND).picture)


def test_unknown_output_is_refused():
    with pytest.raises(ValueError, match=r"predicts \['depth'\]"):
        read_prediction({"depth": 1}, IMAGE, Metadata())
