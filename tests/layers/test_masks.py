import pytest
import torch

from vt_seg.layers import resize_mask
from vt_seg.layers.masks import level_masks


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize(("image", "batch"), [(90, 100), (64, 97), (33, 65), (1, 640), (96, 96)])
def test_an_image_keeps_as_many_rows_as_its_map_alone_would_have(image, batch, stride):
    mask = torch.zeros(1, 1, batch, batch, dtype=torch.bool)
    mask[:, :, :image, :image] = True
    cells = -(-batch // stride)
    resized = resize_mask(mask, (cells, cells))
    assert resized.shape == (1, 1, cells, cells)
    expected = [index < -(-image // stride) for index in range(cells)]
    assert resized[0, 0, 0].tolist() == resized[0, 0, :, 0].tolist() == expected


def test_mask_of_a_map_with_another_rounding_takes_the_nearest_pixel():
    mask = torch.arange(10).view(1, 1, 1, 10) < 4
    assert resize_mask(mask, (1, 4)).bool()[0, 0, 0].tolist() == [True, True, False, False]
    assert resize_mask(None, (1, 4)) is None


def test_one_mask_is_that_of_every_image_at_every_level():
    maps = [torch.empty(3, 2, 4, 6), torch.empty(3, 2, 2, 3)]
    mask = torch.arange(24).view(1, 1, 4, 6) < 6
    fine, coarse = level_masks(mask, maps)
    assert torch.equal(fine, mask.expand(3, 1, 4, 6))
    assert torch.equal(coarse, mask[..., ::2, ::2].expand(3, 1, 2, 3))


@pytest.mark.parametrize("shape", [(3, 1, 5, 7), (2, 2, 5, 7), (2, 5, 7), (5, 7), (0, 1, 5, 7)])
def test_masks_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=rf"mask of shape \({shape[0]}, .* for 2 images: give \(2"):
        level_masks(torch.ones(shape), [torch.empty(2, 8, 5, 7)])
