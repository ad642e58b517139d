"""Products of tokens with pixels, as few passes over a large map as the formulas allow.

A feature map has thousands of pixels and a block a handful of tokens, so every weight that the
paper puts on the pixels is moved to the tokens, where it costs nothing (the sums are the same):

* ``(X W_Q) K(T)^T = X (W_Q K(T)^T)``: logits, with the query's weight in the filters
  (:func:`weight_into_filters`);
* ``A^T (X W_V) = (A^T X) W_V``: averages of the map itself, whose values are taken after
  (:func:`weight_onto_averages`).

What then touches pixels is one product for the logits and one for the average or the sum that is
written back. Both work in blocks: of a convolution with G groups and an attention with H heads,
``gcd(G, H)`` blocks of channels know nothing of each other.
"""

import math

import torch
from torch import Tensor

from .inference import is_recorded


def pixel_logits(filters: Tensor, x: Tensor) -> Tensor:
    """Each filter on each pixel.

    Args:
        filters: ``(N, heads, L, C / blocks)``; ``blocks`` divides ``heads``, and head h reads the
            channels of block ``h * blocks // heads``.
        x: feature map ``(N, C, H, W)``.

    Returns:
        ``(N, heads, L, H * W)``.
    """
    heads, blocks = filters.shape[1], x.shape[1] // filters.shape[3]
    together = filters.unflatten(1, (blocks, -1)).flatten(2, 3)
    if _is_one_product(x, blocks):
        logits = _few_rows(together[0, 0], x[0].flatten(1))[None, None]
    else:
        logits = together @ in_blocks(x, blocks)
    return logits.unflatten(2, (heads // blocks, filters.shape[2])).flatten(1, 2)


def _is_one_product(x: Tensor, blocks: int) -> bool:
    """Whether the product is one of two matrices, for which there are quicker shapes."""
    return blocks == 1 and not is_recorded() and x.shape[0] == 1 and x.numel() > 0


def _few_rows(filters: Tensor, pixels: Tensor) -> Tensor:
    """``(K, C) @ (C, HW)``, in the shape in which CPU libraries are quick at it.

    A product of few rows and very many columns is split among threads badly. Where a pixel's
    channels lie together it has a quick transpose; else a batch of narrower products is quicker.
    """
    if pixels.stride(0) == 1:
        return (pixels.T @ filters.T).T
    batch = _batch_of_pixels(pixels, 64)
    if batch is None:
        return filters @ pixels
    return torch.bmm(filters.expand(len(batch), -1, -1), batch).transpose(0, 1).flatten(1)


def _long_sums(attention: Tensor, pixels: Tensor) -> Tensor:
    """``(K, HW) @ (HW, C)``; a batch of shorter sums, added at last, keeps threads busy."""
    batch = _batch_of_pixels(pixels, 4)
    if batch is None:
        return attention @ pixels.T
    shares = attention.unflatten(1, (len(batch), -1)).transpose(0, 1)
    return torch.bmm(shares, batch.transpose(1, 2)).sum(0)


def _batch_of_pixels(pixels: Tensor, max_parts: int) -> Tensor | None:
    """``(C, HW)`` as ``(parts, C, HW / parts)``; None where it is not quicker."""
    parts = math.gcd(pixels.shape[1], max_parts)
    if parts == 1 or pixels.device.type != "cpu" or pixels.dtype != torch.float32:
        return None
    return pixels.unflatten(1, (parts, -1)).transpose(0, 1)


def pixel_averages(x: Tensor, attention: Tensor, blocks: int) -> Tensor:
    """Sums of the map's pixels under an attention.

    Args:
        x: feature map ``(N, C, H, W)``.
        attention: ``(N, heads, L, H * W)``.
        blocks: head h reads the channels of block ``h * blocks // heads``.

    Returns:
        ``(N, heads, L, C / blocks)``.
    """
    heads, num_tokens = attention.shape[1:3]
    together = attention.to(x.dtype).unflatten(1, (blocks, -1)).flatten(2, 3)
    if _is_one_product(x, blocks):
        sums = _long_sums(together[0, 0], x[0].flatten(1))[None, None]
    else:
        sums = together @ in_blocks(x, blocks).transpose(2, 3)
    return sums.unflatten(2, (heads // blocks, num_tokens)).flatten(1, 2)


def in_blocks(x: Tensor, blocks: int) -> Tensor:
    """``(N, C, H, W)`` as ``(N, blocks, C / blocks, H * W)``, a view in either memory format."""
    return x.flatten(2).unflatten(1, (blocks, -1))


def weight_into_filters(weight: Tensor, keys: Tensor, groups: int) -> Tensor:
    """Filters for the map itself from filters for what a grouped 1x1 convolution makes of it.

    Args:
        weight: of the convolution, ``(C, C / groups, 1, 1)``.
        keys: ``(N, heads, C / heads, L)``.
        groups: of the convolution.

    Returns:
        ``(N, heads, L, C / blocks)``.
    """
    matrices = _by_head(weight, keys.shape[1], groups)
    return torch.einsum("hoi,nhol->nhli", matrices, keys)


def weight_onto_averages(weight: Tensor, averages: Tensor, groups: int) -> Tensor:
    """What a grouped 1x1 convolution makes of averages: each head's own channels.

    Args:
        weight: of the convolution, ``(C, C / groups, 1, 1)``.
        averages: ``(N, heads, L, C / blocks)``.
        groups: of the convolution.

    Returns:
        ``(N, C, L)``.
    """
    matrices = _by_head(weight, averages.shape[1], groups)
    return torch.einsum("hoi,nhli->nhol", matrices, averages).flatten(1, 2)


def _by_head(weight: Tensor, heads: int, groups: int) -> Tensor:
    """From its block of channels to each head's own, ``(heads, C / heads, C / blocks)``."""
    blocks = math.gcd(heads, groups)
    per_block = groups // blocks
    matrices = weight.flatten(1).unflatten(0, (blocks, per_block, -1))
    if per_block > 1:  # small groups: zeros between them
        matrices = torch.diag_embed(matrices.permute(0, 2, 3, 1), dim1=1, dim2=3)
        # (blocks, groups of a block, outputs, groups of a block, inputs)
        matrices = matrices.flatten(3)
    return matrices.reshape(heads, weight.shape[0] // heads, -1)
