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
    cells = F.pad(logits, (1, 1, 1, 1), mode="replicate")
    num_images, num_classes, rows, columns = cells.shape
    of_cells = _argmax(cells, 1)
    cells = cells.permute(0, 2, 3, 1).reshape(-1, num_classes)
    top_left = of_cells[:, :-1, :-1]
    agree = (top_left == of_cells[:, :-1, 1:]) & (top_left == of_cells[:, 1:, :-1])
    agree = agree & (top_left == of_cells[:, 1:, 1:])
    height, width = (rows - 1) * stride, (columns - 1) * stride
    repeated = top_left[:, :, None, :, None].expand(-1, -1, stride, -1, stride)

    image, row, column = torch.where(~agree)
    corner = (image * rows + row) * columns + column
    corners = torch.stack([corner, corner + 1, corner + columns, corner + columns + 1])
    # One product of matrices: (stride², 4) with (4, blocks * classes).
    weights = _corner_weights(stride).to(logits)
    mixed = weights @ cells[corners].reshape(4, -1)
    mixed = _argmax(mixed.reshape(stride**2, -1, num_classes), 2)
    first_pixel = ((image * height) + row * stride) * width + column * stride
    y, x = torch.arange(stride)[:, None], torch.arange(stride)
    pixels = (y * width + x).reshape(-1, 1) + first_pixel
    labels = repeated.reshape(-1).scatter(0, pixels.reshape(-1), mixed.reshape(-1))
    labels = labels.reshape(num_images, height, width)
    half = stride // 2
    return labels[:, half : half + size[0], half : half + size[1]]


def _argmax(x: Tensor, dim: int) -> Tensor:
    """Return the first index of the maximum, as ``argmax``, by comparing with the maximum.

    OpenVINO sorts for an argmax, which took a tenth of the whole model's time.
    """
    length = x.shape[dim]
    shape = [1] * x.ndim
    shape[dim] = length
    from_last = torch.arange(length, 0, -1, dtype=torch.int32).reshape(shape)
    is_maximum = x == x.amax(dim, keepdim=True)
    first = torch.where(is_maximum, from_last, torch.zeros_like(from_last)).amax(dim)
    return (length - first.long()).clamp(max=length - 1)  # without a maximum where all are NaN


def _corner_weights(stride: int) -> Tensor:
    """Return the weight of the four cells for each pixel of a block, ``(stride², 4)``."""
    share = (torch.arange(stride) + 0.5) / stride
    along = torch.stack([1 - share, share])  # (2, stride)
    return torch.einsum("ay,bx->yxab", along, along).reshape(stride**2, 4)
