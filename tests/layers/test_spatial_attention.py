import numpy as np
import pytest
import torch

from tests.layers import literal
from vt_seg.layers import SpatialSoftmax
from vt_seg.layers.spatial_attention import resize_mask


def test_softmax_runs_over_the_pixels():
    logits = torch.randn(2, 3, 4, 15, dtype=torch.float64)
    expected = literal.softmax(logits.numpy(), axis=3)
    np.testing.assert_allclose(SpatialSoftmax()(logits), expected, rtol=0, atol=1e-12)


def test_masked_pixels_get_no_weight_and_the_others_that_of_a_map_of_theirs():
    logits = torch.randn(2, 3, 4, 15, dtype=torch.float64)
    mask = torch.rand(2, 1, 3, 5) > 0.4
    attention = SpatialSoftmax()(logits, mask)
    for given, got, inside in zip(logits, attention, mask.flatten(1), strict=True):
        assert not got[:, :, ~inside].any()
        expected = literal.softmax(given[:, :, inside].numpy(), axis=2)
        np.testing.assert_allclose(got[:, :, inside], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_an_image_without_a_pixel_attends_evenly(dtype):
    attention = SpatialSoftmax()(torch.randn(1, 1, 2, 8).to(dtype), torch.zeros(1, 1, 2, 4))
    assert torch.equal(attention, torch.full_like(attention, 1 / 8))


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize(("image", "batch"), [(90, 100), (64, 97), (33, 65), (1, 640), (96, 96)])
def test_an_image_keeps_as_many_rows_as_its_map_alone_would_have(image, batch, stride):
    mask = torch.zeros(1, 1, batch, batch, dtype=torch.bool)
    mask[:, :, :image, :image] = True
    cells = -(-batch // stride)
    resized = resize_mask(mask, (cells, cells))
    assert resized.shape == (1, 1, cells, cells)
    expected = [index < -(-image // stride) for index in range(cells)]
    assert resized[0, 0, 0].bool().tolist() == expected
    assert resized[0, 0, :, 0].bool().tolist() == expected


def test_mask_of_a_map_with_another_rounding_takes_the_nearest_pixel():
    mask = torch.arange(10).view(1, 1, 1, 10) < 4
    assert resize_mask(mask, (1, 4)).bool()[0, 0, 0].tolist() == [True, True, False, False]
