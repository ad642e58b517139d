"""Scores of a map at a stride: by NumPy's arithmetic, and beside Detectron2's way."""

import numpy as np
import pytest
import torch
from detectron2.modeling.postprocessing import sem_seg_postprocess
from torch.nn import functional as F

from vt_seg.modeling.logit_map import LogitMap


def detectron2s(logits, stride, image_size, output_size=None):
    """Scores by its head's upsampling, its crop and its resizing."""
    wide = F.interpolate(logits[None], scale_factor=stride, mode="bilinear", align_corners=False)
    return sem_seg_postprocess(wide[0], image_size, *(output_size or image_size))


def matrix(positions, cells):
    """``(outputs, cells)``: weights of linear interpolation at positions in cells, edges held."""
    positions = np.clip(positions, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(cells)))


def by_hand(logits, stride, image_size, output_size):
    """One bilinear interpolation; where sizes differ, of the cells that the image touches."""
    height, width = image_size
    if image_size != output_size:
        logits = logits[:, : -(-height // stride), : -(-width // stride)]
    weights = [
        matrix((np.arange(out) + 0.5) * side / (out * stride) - 0.5, cells)
        for out, side, cells in zip(output_size, image_size, logits.shape[1:], strict=True)
    ]
    return np.einsum("yh,chw,xw->cyx", weights[0], logits, weights[1])


SIZES = [
    # map, stride, image, output
    ((8, 12), 4, (32, 48), (32, 48)),
    ((8, 12), 4, (29, 46), (29, 46)),
    ((8, 12), 4, (21, 33), (21, 33)),  # padding beside the image
    ((5, 7), 1, (5, 7), (5, 7)),
    ((5, 7), 2, (9, 13), (9, 13)),
    ((1, 1), 4, (3, 4), (3, 4)),
    ((1, 1), 4, (4, 4), (9, 2)),
    ((3, 4), 3, (8, 11), (8, 11)),
    ((8, 12), 4, (29, 46), (58, 92)),
    ((8, 12), 4, (29, 46), (17, 101)),
    ((8, 12), 4, (32, 48), (128, 192)),  # a power of two again
    ((8, 12), 4, (32, 48), (16, 24)),
    ((8, 12), 4, (21, 33), (40, 70)),
    ((8, 12), 1, (8, 12), (3, 5)),
    ((8, 12), 4, (32, 48), (1, 1)),
]


@pytest.mark.parametrize(("cells", "stride", "image", "output"), SIZES)
def test_scores_by_hand(cells, stride, image, output):
    logits = torch.randn(3, *cells, dtype=torch.float64)
    expected = by_hand(logits.numpy(), stride, image, output)
    rows = LogitMap(logits, stride, image, output).rows(0, output[0])
    assert rows.shape == (3, *output)
    np.testing.assert_allclose(rows, expected, atol=1e-12)
    # Positions are then computed in single precision, as torch's kernels do.
    single = LogitMap(logits.float(), stride, image, output).rows(0, output[0])
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("cells", "stride", "image", "output"), SIZES)
@pytest.mark.parametrize("ties", [False, True])
def test_at_the_images_size_they_are_detectron2s(cells, stride, image, output, dtype, ties):
    """Scores and labels bit for bit; at other sizes labels are the argmax of the rows."""
    logits = torch.randn(7, *cells)
    logits = (logits.round() if ties else logits).to(dtype)
    scores = LogitMap(logits, stride, image, output)
    rows = scores.rows(0, output[0])
    assert rows.dtype == dtype
    assert torch.equal(scores.labels().long(), rows.argmax(dim=0))
    if image == output and stride != 3:
        theirs = detectron2s(logits, stride, image)
        assert torch.equal(rows, theirs)
        assert torch.equal(scores.labels().long(), theirs.argmax(dim=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("classes", [1, 2, 171, 300])
def test_labels_of_a_large_map(classes, dtype):
    """Several strips; more classes than a byte counts."""
    logits = torch.randn(classes, 60, 67, dtype=torch.float64).to(dtype)
    scores = LogitMap(logits, 4, (237, 266))
    assert len(scores.strips()) > 1 or classes < 5
    theirs = detectron2s(logits, 4, (237, 266)).argmax(dim=0)
    assert torch.equal(scores.labels().long(), theirs)
    other = LogitMap(logits, 4, (237, 266), (201, 301))
    assert torch.equal(other.labels().long(), other.rows(0, 201).argmax(dim=0))


def test_labels_of_maps_small_and_narrow():
    """Torch has several kernels, and which one it takes depends on the size."""
    generator = np.random.default_rng(0)
    for _ in range(150):
        cells = tuple(int(side) for side in np.exp(generator.uniform(0, 4.5, 2)).round())
        classes, stride = int(generator.integers(1, 12)), int(generator.choice([2, 4, 8]))
        image = tuple(int(c * stride - generator.integers(stride)) for c in cells)
        ties = torch.randn(classes, *cells).mul(2).round() / 2
        nearly = torch.randn(cells) + 1e-7 * torch.randn(classes, *cells)  # the last bits decide
        for logits in (ties, nearly):
            theirs = detectron2s(logits, stride, image).argmax(dim=0)
            assert torch.equal(LogitMap(logits, stride, image).labels().long(), theirs), image


def test_channels_last_and_gradients():
    logits = torch.randn(2, 19, 20, 30).to(memory_format=torch.channels_last).requires_grad_()
    for one in logits:
        for output in ((80, 120), (77, 200)):
            scores, plain = (
                LogitMap(x, 4, (80, 120), output) for x in (one, one.detach().contiguous())
            )
            assert torch.equal(scores.labels(), plain.labels())
            assert torch.equal(scores.rows(0, 70), plain.rows(0, 70))
            assert not scores.rows(0, 70).requires_grad


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("output", [(32, 48), (29, 46), (40, 50)])
def test_values_that_are_no_numbers(value, output):
    """As argmax has them. (Detectron2's resizing to the same size makes NaN of infinities, which it
    multiplies by zero; only its upsampling is taken here.)"""
    logits = torch.randn(5, 8, 12)
    logits[3, 4, 5] = logits[1, 4, 6] = logits[2, 0, 0] = logits[4, 7, 11] = value
    image = (32, 48) if output == (40, 50) else output
    scores = LogitMap(logits, 4, image, output)
    expected = scores.rows(0, output[0])
    assert torch.equal(scores.labels().long(), expected.argmax(dim=0))
    if image == output:
        wide = F.interpolate(logits[None], scale_factor=4, mode="bilinear", align_corners=False)
        theirs = wide[0, :, : image[0], : image[1]]
        torch.testing.assert_close(expected, theirs, rtol=0, atol=0, equal_nan=True)
        if value != value:
            assert torch.equal(scores.labels().long(), detectron2s(logits, 4, image).argmax(dim=0))


WARP = np.array([[0.9, -0.3, 4.0], [0.2, 1.1, -3.0]])


def test_a_warp_by_hand():
    """Points by matrix, then bilinear interpolation of the cells, with edges held."""
    logits = torch.randn(3, 8, 12, dtype=torch.float64)
    ys, xs = np.mgrid[:25, :37] + 0.5
    x = WARP[0, 0] * xs + WARP[0, 1] * ys + WARP[0, 2]
    y = WARP[1, 0] * xs + WARP[1, 1] * ys + WARP[1, 2]
    by_row = matrix(y.ravel() / 4 - 0.5, 8)
    by_column = matrix(x.ravel() / 4 - 0.5, 12)
    expected = np.einsum("ph,chw,pw->cp", by_row, logits.numpy(), by_column).reshape(3, 25, 37)
    scores = LogitMap(logits, 4, (32, 48), (25, 37), WARP)
    np.testing.assert_allclose(scores.rows(0, 25), expected, atol=1e-12)
    assert torch.equal(scores.labels().long(), scores.rows(0, 25).argmax(dim=0))
    # Cells beyond the image are not read: they may hold anything.
    padded = F.pad(logits, (0, 3, 0, 2), value=1e6)
    assert torch.equal(
        LogitMap(padded, 4, (32, 48), (25, 37), WARP).rows(0, 25), scores.rows(0, 25)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("warp", [None, WARP])
@pytest.mark.parametrize(("cells", "stride", "image", "output"), SIZES)
def test_strips_are_rows_of_the_whole(cells, stride, image, output, warp, dtype):
    """Up to the last bit, as torch has a kernel of its own for small maps."""
    scores = LogitMap(torch.randn(4, *cells).to(dtype), stride, image, output, warp)
    whole = scores.rows(0, output[0])
    for step in (1, 2, 5):
        starts = range(0, output[0], step)
        parts = [scores.rows(top, min(top + step, output[0])) for top in starts]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    bounds = scores.strips()
    assert bounds[0][0] == 0 and bounds[-1][1] == output[0]
    assert all(a[1] == b[0] for a, b in zip(bounds, bounds[1:], strict=False))


def test_padding_is_not_read_where_sizes_differ():
    logits = torch.randn(3, 8, 12)
    logits[:, 6:], logits[:, :, 9:] = 1e6, 1e6
    assert LogitMap(logits, 4, (24, 36), (50, 60)).rows(0, 50).abs().max() < 10


def test_a_map_that_does_not_cover_the_image_is_stretched():
    """Of a backbone that rounds down: Detectron2 stretches it, too."""
    logits = torch.randn(3, 5, 6)
    scores = LogitMap(logits, 4, (23, 27))
    theirs = F.interpolate(logits[None], (23, 27), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(scores.rows(0, 23), theirs)
    assert torch.equal(scores.labels().long(), scores.rows(0, 23).argmax(dim=0))


@pytest.mark.parametrize("output", [(32, 48), (20, 33)])
def test_rows_that_are_not_there(output):
    scores = LogitMap(torch.randn(3, 8, 12), 4, (32, 48), output)
    for rows in ((5, 5), (-1, 3), (0, output[0] + 1), (9, 4)):
        with pytest.raises(ValueError, match=f"rows {rows[0]} to {rows[1]} of an output of "):
            scores.rows(*rows)


@pytest.mark.parametrize("output", [(64, 96), (50, 70)])
def test_compiled_labels(output):
    """A compiler leaves them as they are."""
    logits = torch.randn(6, 16, 24)

    def labels(logits):
        return LogitMap(logits, 4, (64, 96), output).labels()

    compiled = torch.compile(labels, backend="aot_eager")
    assert torch.equal(compiled(logits), labels(logits))


def test_an_empty_output():
    assert LogitMap(torch.randn(3, 4, 4), 4, (16, 16), (0, 9)).labels().shape == (0, 9)
