"""Label maps of blocks between cell centres against the argmax of upsampled logits."""

import pytest
import torch

from vt_seg.export import label_maps
from vt_seg.modeling import upsample


@pytest.mark.parametrize("stride", [1, 2, 4, 16])
@pytest.mark.parametrize("smooth", [1, 8])  # few and nearly all blocks need interpolation
def test_labels_are_the_argmax_of_upsampled_logits(stride, smooth):
    size = (5 * stride + stride // 2, 9 * stride - stride // 3)
    logits = torch.randn(3, 7, 2, 3, generator=torch.Generator().manual_seed(stride))
    cells = (-(-size[0] // stride), -(-size[1] // stride))
    logits = torch.nn.functional.interpolate(logits, size=cells, mode="bilinear") ** smooth
    expected = upsample(logits, stride, size).argmax(1)
    labels = label_maps(logits, stride, size)
    assert labels.shape == (3, *size)
    assert (labels == expected).float().mean() >= 0.9999


def test_blocks_whose_cells_agree_are_not_interpolated(monkeypatch):
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 1, :, 2:] = 1.0  # class 0 on the left, 1 on the right: a tie at no pixel's centre
    labels = label_maps(logits - 0.25 * torch.eye(2)[1][:, None, None], 4, (16, 16))
    assert labels.unique().tolist() == [0, 1]
    assert (labels[0] == labels[0, :1]).all()
    assert labels[0, 0].tolist() == sorted(labels[0, 0].tolist())


def test_odd_stride_is_refused():
    with pytest.raises(ValueError, match="stride of 3"):
        label_maps(torch.zeros(1, 2, 4, 4), 3, (12, 12))
