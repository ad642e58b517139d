"""Logits read at other sizes: against NumPy's arithmetic and against Detectron2's two steps."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from detectron2.modeling.postprocessing import sem_seg_postprocess
from torch.nn import functional as F

from vt_seg.inference import LogitMap, label_map
from vt_seg.modeling import upsample
from vt_seg.modeling.unwarping_segmentor import unwarp


def detectron2_logits(logits, stride, image_size, output_size=None):
    """Upsample, crop and resize as Detectron2's head and postprocessing do."""
    wide = F.interpolate(logits[None], scale_factor=stride, mode="bilinear", align_corners=False)
    return sem_seg_postprocess(wide[0], image_size, *(output_size or image_size))


def interpolation_matrix(positions, cells):
    """``(outputs, cells)``: weights of linear interpolation at positions in cells, edges held."""
    positions = np.clip(positions, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(cells)))


def by_hand(logits, stride, image_size, output_size):
    """One bilinear interpolation, no further out than the image's outermost pixel centres."""
    weights = []
    for out, side, cells in zip(output_size, image_size, logits.shape[1:], strict=True):
        pixels = np.clip((np.arange(out) + 0.5) * side / out, 0.5, side - 0.5)
        weights.append(interpolation_matrix(pixels / stride - 0.5, cells))
    return np.einsum("yh,chw,xw->cyx", weights[0], logits, weights[1])


def assert_is_argmax(labels, logits, rtol=1e-5):
    """Labels may differ from the argmax only where the two best logits nearly tie."""
    best, second = logits.double().topk(min(2, len(logits)), dim=0).values[[0, -1]]
    tie = rtol * float(logits.max() - logits.min())
    chosen = logits.double().gather(0, labels[None].long())[0]
    assert (chosen >= best - tie).all()
    assert ((labels == logits.argmax(0)) | (best - second <= tie)).all()


SIZES = [
    # map, stride, image, output
    ((8, 12), 4, (32, 48), (32, 48)),
    ((8, 12), 4, (29, 46), (29, 46)),
    ((8, 12), 4, (21, 33), (21, 33)),  # padding next to the image
    ((5, 7), 1, (5, 7), (5, 7)),
    ((5, 7), 2, (9, 13), (9, 13)),
    ((1, 1), 4, (3, 4), (3, 4)),
    ((1, 1), 4, (4, 4), (9, 2)),
    ((3, 4), 3, (8, 11), (8, 11)),
    ((8, 12), 4, (29, 46), (17, 101)),
    ((8, 12), 4, (32, 48), (128, 192)),
    ((8, 12), 4, (32, 48), (16, 24)),
    ((8, 12), 4, (21, 33), (40, 70)),
    ((8, 12), 1, (8, 12), (3, 5)),
    ((8, 12), 4, (32, 48), (1, 1)),
]


@pytest.mark.parametrize(("cells", "stride", "image", "output"), SIZES)
def test_logits_are_interpolated_once_and_bilinearly(cells, stride, image, output):
    logits = torch.randn(3, *cells, dtype=torch.float64)
    expected = by_hand(logits.numpy(), stride, image, output)
    exact = LogitMap(logits, stride, image, output)
    np.testing.assert_allclose(exact.rows(0, output[0]), expected, atol=1e-12)
    assert_is_argmax(exact.label_map(), torch.tensor(expected), 1e-12)
    single = LogitMap(logits.float(), stride, image, output)
    np.testing.assert_allclose(single.rows(0, output[0]), expected, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("cells", "stride", "image", "output"), SIZES)
def test_at_the_images_size_logits_are_detectron2s(cells, stride, image, output, dtype):
    logits = torch.randn(7, *cells).to(dtype)
    logit_map = LogitMap(logits, stride, image)
    expected = detectron2_logits(logits.to(logit_map.rows(0, 1).dtype), stride, image)
    torch.testing.assert_close(logit_map.rows(0, image[0]), expected, rtol=1e-5, atol=1e-5)
    assert_is_argmax(logit_map.label_map(), expected)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("classes", [1, 2, 171, 300])
def test_label_maps_of_many_strips(classes, smooth):
    """Most cells of a smooth map agree with their neighbours, those of noise do not."""
    logits = torch.randn(classes, 9, 11) if smooth else torch.randn(classes, 60, 67)
    logits = F.interpolate(logits[None], (60, 67), mode="bilinear")[0]
    logit_map = LogitMap(logits, 4, (237, 266))
    assert len(logit_map.strips()) > 1 or classes < 20
    assert_is_argmax(logit_map.label_map(), detectron2_logits(logits, 4, (237, 266)))
    other = LogitMap(logits, 4, (237, 266), (201, 301))
    assert_is_argmax(other.label_map(), other.rows(0, 201))


WARP = np.array([[0.9, -0.3, 4.0], [0.2, 1.1, -3.0]])


@pytest.mark.parametrize("output", [(25, 37), (64, 40)])
def test_a_warped_image_is_read_where_the_warp_puts_it(output):
    logits = torch.randn(3, 8, 12, dtype=torch.float64)
    ys, xs = np.mgrid[: output[0], : output[1]] + 0.5
    x = np.clip(WARP[0, 0] * xs + WARP[0, 1] * ys + WARP[0, 2], 0.5, 45.5)
    y = np.clip(WARP[1, 0] * xs + WARP[1, 1] * ys + WARP[1, 2], 0.5, 29.5)
    by_row = interpolation_matrix(y.ravel() / 4 - 0.5, 8)
    by_column = interpolation_matrix(x.ravel() / 4 - 0.5, 12)
    expected = np.einsum("ph,chw,pw->cp", by_row, logits.numpy(), by_column)
    logit_map = LogitMap(logits, 4, (30, 46), output, WARP)
    rows = logit_map.rows(0, output[0])
    np.testing.assert_allclose(rows, expected.reshape(3, *output), atol=1e-12)
    assert_is_argmax(logit_map.label_map(), rows)
    full = upsample(logits[None], 1, (8, 12))[0]  # at stride 1 it is what the segmentor computes
    torch.testing.assert_close(
        LogitMap(full, 1, (8, 12), output, WARP).rows(0, output[0]), unwarp(full, WARP, output)
    )


@pytest.mark.parametrize("warp", [None, WARP])
@pytest.mark.parametrize(("cells", "stride", "image", "output"), SIZES)
def test_strips_are_rows_of_the_whole(cells, stride, image, output, warp, monkeypatch):
    logit_map = LogitMap(torch.randn(4, *cells), stride, image, output, warp)
    whole = logit_map.rows(0, output[0])
    labels = logit_map.label_map()
    monkeypatch.setitem(label_map.STRIP_LOGITS, "cpu", 4 * 2 * output[1])
    bounds = logit_map.strips()
    assert len(bounds) == -(-output[0] // 2)
    parts = [logit_map.rows(*strip) for strip in bounds]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert torch.equal(logit_map.label_map(), labels)


def test_a_map_that_does_not_cover_the_image_is_stretched():
    """A backbone that rounds down makes such maps: Detectron2 stretches them, too."""
    logits = torch.randn(3, 5, 6)
    expected = F.interpolate(logits[None], (23, 27), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(LogitMap(logits, 4, (23, 27)).rows(0, 23), expected)


def test_channels_last_logits_and_gradients_are_accepted():
    logits = torch.randn(2, 19, 20, 30).to(memory_format=torch.channels_last).requires_grad_()
    for one in logits:
        last, plain = (LogitMap(x, 4, (80, 120)) for x in (one, one.detach().contiguous()))
        assert torch.equal(last.label_map(), plain.label_map())
        assert not last.rows(0, 70).requires_grad


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_stay_in_their_neighbourhood(value):
    logits = torch.randn(5, 8, 12)
    expected = LogitMap(logits, 4, (32, 48)).label_map()
    logits[3, 4, 5] = value
    labels = LogitMap(logits, 4, (32, 48)).label_map()
    differs = (labels != expected).nonzero()
    assert labels.min() >= 0
    assert labels.max() < 5
    if len(differs):
        assert differs.amin(0).tolist() >= [14, 18]
        assert differs.amax(0).tolist() <= [21, 25]


@pytest.mark.parametrize("rows", [(5, 5), (-1, 3), (0, 21), (9, 4)])
def test_rows_outside_the_output_are_refused(rows):
    logit_map = LogitMap(torch.randn(3, 8, 12), 4, (32, 48), (20, 33))
    with pytest.raises(ValueError, match=f"rows {rows[0]} to {rows[1]} of an output of 20"):
        logit_map.rows(*rows)


def test_an_empty_output_has_an_empty_label_map():
    assert LogitMap(torch.randn(3, 4, 4), 4, (16, 16), (0, 9)).label_map().shape == (0, 9)


PEAK = """
import resource
import torch
from vt_seg.inference import LogitMap

logits = torch.randn(171, 120, 160)
LogitMap(logits[:, :8, :8], 4, (32, 32)).label_map()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for output in ((480, 640), (900, 1200)):
    assert LogitMap(logits, 4, (480, 640), output).label_map().shape == output
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 0.4 * 171 * output[0] * output[1] * 4, grown
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss counts otherwise")
def test_full_size_logits_are_never_held():
    """Compare the growth of a process with the size of full-size logits."""
    subprocess.run([sys.executable, "-c", PEAK], check=True)
