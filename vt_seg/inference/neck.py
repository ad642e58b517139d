"""The VT-FPN neck for inference: the same formulas in few passes over channels-last maps.

Next to the lateral convolutions, which are bound by arithmetic, what costs time is how often a map
is read and written, and how well a matrix library copes with a handful of tokens. So tokens are
averaged in products of the shape that is fastest, and the projector works in place on strips of
pixels that stay in a CPU's caches.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from vt_seg.layers import VTFPN, FilterTokenizer, Projector
from vt_seg.layers.vt_fpn import add_coarser

STRIP_PIXELS = 16384
"""Pixels that a projector works on at a time; 16 MB of a map with 256 channels."""

MAX_EXPONENT = 80.0
"""Logits within +-80 need no shift before ``exp``, which overflows in float32 above 88."""


class OptimizedVTFPN(VTFPN):
    """A :class:`VTFPN` for evaluation only, fastest on channels-last maps on a CPU.

    Filter tokenizers and projectors are replaced by faster twins; all other parts are those of the
    given neck, with the same weights. Norms behind the laterals cost a pass over each map unless
    they were folded into the convolutions before (:func:`vt_seg.inference.optimize` does that).
    The list of feature maps is emptied, so that each map can be freed once it was read.
    """

    def __init__(self, neck: VTFPN) -> None:
        """Copy the parts of a neck, which itself stays as it is, and share its weights."""
        nn.Module.__init__(self)  # the parts are those of the neck
        shared = {id(x): x for x in (*neck.parameters(), *neck.buffers())}
        neck = copy.deepcopy(neck, shared)
        self.laterals, self.top_down = neck.laterals, neck.top_down
        self.stack, self.output_convs = neck.stack, neck.output_convs
        for parts in list(self.stack.modules()):
            if isinstance(parts, nn.ModuleList):  # one tokenizer or projector per level
                for i, part in enumerate(parts):
                    if type(part) is FilterTokenizer:  # a subclass may compute anything
                        parts[i] = OptimizedFilterTokenizer(part)
                    elif type(part) is Projector and _adds_a_softmax(part):
                        parts[i] = InPlaceProjector(part)
        self.eval()

    def lateral_maps(self, features: Any) -> list[Tensor]:
        """Return the maps of which tokens are taken, as :class:`VTFPN`; empty the list."""
        if len(features) != len(self.laterals):
            raise ValueError(f"{len(features)} feature maps for {len(self.laterals)} levels")
        maps = [lateral(features.pop(0)) for lateral in self.laterals]
        return add_coarser(maps) if self.top_down else maps


def _adds_a_softmax(projector: Projector) -> bool:
    """Return True unless the softmax or the stochastic depth of a projector was replaced."""
    softmax, drop_path = projector.token_softmax, projector.drop_path
    is_softmax = type(softmax) is nn.Softmax and softmax.dim == 2
    return is_softmax and type(drop_path) in (nn.Identity, StochasticDepth)


class OptimizedFilterTokenizer(nn.Module):
    """A :class:`FilterTokenizer` whose products with pixels have the fastest shapes for a CPU."""

    def __init__(self, tokenizer: FilterTokenizer) -> None:
        """Take over the parts of a tokenizer."""
        super().__init__()
        self.tokenizer = tokenizer

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return tokens ``(N, C_T, L)`` of a map ``(N, C, H, W)``; ``tokens`` are not used."""
        plain = self.tokenizer
        pixels = channels_last_pixels(x).flatten(1, 2)
        filters = plain.attention_filter.weight.flatten(1) / math.sqrt(x.shape[1])
        logits = F.linear(pixels, filters).transpose(1, 2)  # (N, L, H * W)
        attention = plain.attention(logits.unsqueeze(1), mask)
        averages = _averages(pixels, attention[:, 0]).unsqueeze(1)
        return plain.from_averages(averages, attention, (x.shape[2], x.shape[3]), mask)


def _averages(pixels: Tensor, attention: Tensor) -> Tensor:
    """Average pixels ``(N, P, C)`` under an attention ``(N, L, P)``; returns ``(N, L, C)``.

    One sum over all pixels leaves threads of matrix libraries idle; up to 16 sums keep them busy.
    """
    parts = math.gcd(pixels.shape[1], 16)
    shares = attention.to(pixels.dtype).unflatten(2, (parts, -1)).transpose(1, 2)
    return (shares @ pixels.unflatten(1, (parts, -1))).sum(1)


class InPlaceProjector(nn.Module):
    """A :class:`Projector` that writes into the map that it is given, a strip at a time."""

    def __init__(self, projector: Projector) -> None:
        """Take over the parts of a projector."""
        super().__init__()
        self.projector = projector

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Write tokens ``(N, C_T, L)`` to a map ``(N, C, H, W)``.

        Returns:
            the new map, channels-last. On a CPU this is ``x`` itself, if it is channels-last.
        """
        plain = self.projector
        if not x.is_cpu:  # strips would only start more kernels
            return plain(x, tokens)
        filters, values = plain.filters_and_values(tokens)
        # Strips are computed in single precision or better: no map is held in it.
        dtype = torch.promote_types(x.dtype, torch.float32)
        pixels = channels_last_pixels(x)
        with torch.autocast("cpu", enabled=False):
            for image, *of_tokens in zip(
                pixels.flatten(1, 2), filters.to(dtype), values.mT.to(dtype), strict=True
            ):
                for strip in image.split(STRIP_PIXELS):
                    exact = strip.to(dtype)
                    _write(exact, *of_tokens)
                    if exact is not strip:
                        strip.copy_(exact)
        return pixels.permute(0, 3, 1, 2)


def _write(pixels: Tensor, filters: Tensor, value: Tensor) -> None:
    """Add to pixels, in place, the values of the tokens that they attend to.

    Args:
        pixels: ``(P, C)``, contiguous.
        filters: ``(heads, L, C / blocks)``, see :func:`vt_seg.layers.pixel_attention.pixel_logits`.
        value: ``(heads, L, C / heads)``.
    """
    heads, num_tokens, width = filters.shape
    weight = filters.reshape(heads * num_tokens, width, 1, 1)
    # Grouped 1x1 convolutions of channels-last maps are faster than batches of small products.
    as_map = pixels[None, None].permute(0, 3, 1, 2)  # channels-last, (1, C, 1, P)
    logits = F.conv2d(as_map, weight, groups=pixels.shape[1] // width)
    if logits.amin() > -MAX_EXPONENT and logits.amax() < MAX_EXPONENT:
        # A softmax along L, here by exp and a sum of the tokens, would first transpose the logits.
        shares = logits.exp_()
        ones = shares.new_ones(heads * num_tokens, num_tokens, 1, 1)
        shares.div_(F.conv2d(shares, ones, groups=heads))
        attention = shares[0, :, 0].unflatten(0, (heads, num_tokens))
    else:
        attention = logits[0, :, 0].unflatten(0, (heads, num_tokens)).softmax(1)
    pixels.unflatten(1, (heads, -1)).transpose(0, 1).baddbmm_(attention.transpose(1, 2), value)


def channels_last_pixels(x: Tensor) -> Tensor:
    """Return ``(N, C, H, W)`` as contiguous ``(N, H, W, C)``: a view of a channels-last map."""
    return x.permute(0, 2, 3, 1).contiguous()
