"""Attention between tokens and pixels, in as few passes over a large map as the formulas allow.

A feature map has thousands of pixels and a block a handful of tokens, so every weight that the
paper puts on the pixels is moved to the tokens, where it costs nothing (the sums are the same):

* ``(X W_Q) K(T)^T = X (W_Q K(T)^T)``: logits, with the query's weight in the filters
  (:func:`weight_into_filters`);
* ``A^T (X W_V) = (A^T X) W_V``: averages of the map itself, to which the value's weight is applied
  afterwards (:func:`weight_onto_averages`).

What then touches pixels is one product for the logits and one for the average or the sum that is
written back. Both work in blocks: of a convolution with G groups and an attention with H heads,
``gcd(G, H)`` blocks of channels are independent of each other.
"""

import math

import torch
from torch import Tensor, nn


class SpatialSoftmax(nn.Module):
    """Softmax over pixels (Eq. 1 of both revisions): each token's weights sum to 1.

    It is a module so that hooks can read the attention. Pixels outside the mask get weight zero.
    With no pixel inside, attention is uniform.
    """

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise ``(N, heads, L, H * W)`` over the pixels of the mask ``(N, 1, H, W)``."""
        if mask is not None:
            # A finite fill keeps a fully masked image finite (uniform weights, not NaN).
            outside = mask.flatten(2).unsqueeze(1) == 0
            logits = logits.masked_fill(outside, torch.finfo(logits.dtype).min)
        return logits.softmax(dim=-1)


def pixel_logits(filters: Tensor, x: Tensor) -> Tensor:
    """Apply filters ``(N, heads, L, C / blocks)`` to each pixel of a map ``(N, C, H, W)``.

    ``blocks`` divides ``heads``, and head h reads the channels of block ``h * blocks // heads``;
    this gives ``(N, heads, L, H * W)``.
    """
    heads, num_tokens, width = filters.shape[1:]
    blocks = x.shape[1] // width
    pixels = x.flatten(2).unflatten(1, (blocks, width))
    logits = filters.unflatten(1, (blocks, -1)).flatten(2, 3) @ pixels
    return logits.unflatten(2, (heads // blocks, num_tokens)).flatten(1, 2)


def pixel_averages(x: Tensor, attention: Tensor, blocks: int) -> Tensor:
    """Average the pixels of ``(N, C, H, W)`` under an attention ``(N, heads, L, H * W)``.

    Head h reads the channels of block ``h * blocks // heads``; ``(N, heads, L, C / blocks)``.
    """
    heads, num_tokens = attention.shape[1:3]
    pixels = x.flatten(2).unflatten(1, (blocks, -1))
    weights = attention.to(x.dtype).unflatten(1, (blocks, -1)).flatten(2, 3)
    averages = weights @ pixels.transpose(2, 3)
    return averages.unflatten(2, (heads // blocks, num_tokens)).flatten(1, 2)


def weight_into_filters(weight: Tensor, keys: Tensor, groups: int) -> Tensor:
    """Fold a grouped 1x1 convolution into filters for its output: they then apply to its input.

    From weights ``(C, C / groups, 1, 1)`` and filters ``(N, heads, C / heads, L)`` come
    ``(N, heads, L, C / blocks)``.
    """
    return torch.einsum("hoi,nhol->nhli", _weight_by_head(weight, keys.shape[1], groups), keys)


def weight_onto_averages(weight: Tensor, averages: Tensor, groups: int) -> Tensor:
    """Apply a grouped 1x1 convolution to averages of its input, each head to its own channels.

    From weights ``(C, C / groups, 1, 1)`` and averages ``(N, heads, L, C / blocks)`` come values
    ``(N, C, L)``.
    """
    matrices = _weight_by_head(weight, averages.shape[1], groups)
    return torch.einsum("hoi,nhli->nhol", matrices, averages).flatten(1, 2)


def _weight_by_head(weight: Tensor, heads: int, groups: int) -> Tensor:
    """Return the weight from each head's block to its channels, ``(heads, C / heads, C / blocks)``.

    Zeros stand between the groups of a block.
    """
    blocks = math.gcd(heads, groups)
    per_block = groups // blocks
    matrices = weight.flatten(1).unflatten(0, (blocks, per_block, -1))
    if per_block > 1:
        # (blocks, groups of a block, outputs, groups of a block, inputs)
        matrices = torch.diag_embed(matrices.permute(0, 2, 3, 1), dim1=1, dim2=3).flatten(3)
    return matrices.reshape(heads, weight.shape[0] // heads, -1)
