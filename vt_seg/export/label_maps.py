"""Label maps of logits at a stride, in operations that PyTorch, ONNX and OpenVINO share."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vt_seg.layers import Size
from vt_seg.modeling import upsample


def label_maps(logits: Tensor, stride: int, size: Size) -> Tensor:
    """Return the argmax over classes of logits upsampled to the image, ``(N, H, W)`` int64.

    Logits ``(N, C, h, w)`` at ``stride`` are interpolated bilinearly, as :func:`upsample` does.
    Where the four cells around a pixel agree on the class, no interpolation can change it. So only
    the other pixels are interpolated, which are a few percent of a usual image, and logits of the
    image's size never exist.

    Raises:
        ValueError: if ``stride`` is neither 1 nor even.
    """
    if stride == 1:
        return upsample(logits, 1, size).argmax(1)
    if stride % 2:
        raise ValueError(f"a stride of {stride} cannot be exported: it has to be 1 or even")
    # The stride² pixels between four cell centres are a block. Cells at the border are repeated.
    cells = F.pad(logits, (1, 1, 1, 1), mode="replicate").permute(0, 2, 3, 1)
    num_images, rows, columns, num_classes = cells.shape
    cells = cells.reshape(-1, num_classes)
    of_cells = cells.argmax(1).reshape(num_images, rows, columns)
    top_left = of_cells[:, :-1, :-1]
    agree = (top_left == of_cells[:, :-1, 1:]) & (top_left == of_cells[:, 1:, :-1])
    agree = agree & (top_left == of_cells[:, 1:, 1:])
    blocks = top_left.reshape(-1, 1).expand(-1, stride**2)

    image, row, column = torch.where(~agree)
    corner = (image * rows + row) * columns + column
    corners = torch.stack([corner, corner + 1, corner + columns, corner + columns + 1])
    # One product of matrices: (stride², 4) with (4, blocks * classes).
    weights = _corner_weights(stride).to(logits)
    mixed = weights @ cells[corners].reshape(4, -1)
    mixed = mixed.reshape(stride**2, -1, num_classes).argmax(2).T
    index = (image * (rows - 1) + row) * (columns - 1) + column
    blocks = blocks.scatter(0, index[:, None].expand(-1, stride**2), mixed)

    blocks = blocks.reshape(num_images, rows - 1, columns - 1, stride, stride)
    labels = blocks.transpose(2, 3).reshape(num_images, (rows - 1) * stride, (columns - 1) * stride)
    half = stride // 2
    return labels[:, half : half + size[0], half : half + size[1]]


def _corner_weights(stride: int) -> Tensor:
    """Return the weight of the four cells for each pixel of a block, ``(stride², 4)``."""
    share = (torch.arange(stride) + 0.5) / stride
    along = torch.stack([1 - share, share])  # (2, stride)
    return torch.einsum("ay,bx->yxab", along, along).reshape(stride**2, 4)
