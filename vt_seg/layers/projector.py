"""Projector: writes tokens back to the pixels of a feature map (v1 Sec. 3.3, Eq. 4; v4 Eq. 5)."""

import math

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from .autocast import without_autocast
from .inference import has_hooks, is_plain_inference, is_stock, owned_map
from .pixel_products import pixel_logits, weight_into_filters
from .pointwise import NormFactory, TokenConv, check_divisible, split_heads
from .revisions import check_revision

# Numbers of a map that inference works on at a time: the fastest on a CPU, whose caches hold them.
AT_A_TIME = 2**23
AT_A_TIME_CHANNELS_LAST = 3 * 2**18


class Projector(nn.Module):
    """Each pixel queries the tokens and adds the values that it attends to.

    v1 Eq. 4: ``X + softmax_L(Q(X) K(T)^T / sqrt(d)) V(T)``, ``Q`` a grouped 1x1 convolution on
    pixels, ``K`` and ``V`` from C_T to C, multi-head as in App. A Listing 4. ``Q`` is C to C here,
    which neither source says: Eq. 4 gives it as C_T x C, which does not fit the C channels of
    ``X``, and the listing has it go from C to C_T, which does not fit the C channels of ``K``.
    C to C fits both, and the MACs of the paper's tables.

    v4 (Eq. 5): the value is ``T`` itself where C_T = C, as in VT-ResNet-50 and -101. Where they
    differ, as in VT-FPN and in VT-ResNet-18 and -34, a 1x1 convolution must still adjust the
    channels, and the function is v1's. (v4's text names neither groups nor heads; they are v1's.)

    The branch starts at zero: a fresh projector is the identity on ``X``. Where no weight stands in
    the branch (v4, C_T = C) a scalar ``gain`` does it; the paper's formula has gain 1.

    Attributes:
        token_softmax: a module, for hooks: its output says which tokens each pixel reads,
            ``(N, heads, L, H * W)``, summing to 1 over L.
        drop_path: applied to what is added; the identity, or stochastic depth.
    """

    def __init__(
        self,
        in_channels: int,
        token_channels: int,
        *,
        num_heads: int = 16,
        pixel_groups: int = 16,
        revision: str = "v1",
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            in_channels: C.
            token_channels: C_T.
            num_heads: heads; must divide C.
            pixel_groups: of the query convolution on pixels; must divide C.
            revision: "v1" or "v4".
            norm: makes the norms of keys and values; None for none.

        Raises:
            ValueError: unknown revision, or heads or groups that do not divide the channels.
        """
        super().__init__()
        check_revision(revision)
        check_divisible(
            num_heads=(in_channels, num_heads), pixel_groups=(in_channels, pixel_groups)
        )
        self.num_heads = num_heads
        # No norm after the query, so that `forward` can move it from the pixels to the keys.
        self.query = nn.Conv2d(in_channels, in_channels, 1, groups=pixel_groups, bias=False)
        # What a bias adds to all tokens alike, the softmax over tokens takes away.
        self.key = TokenConv(token_channels, in_channels, norm=norm, bias=False)
        self.value = self.gain = None
        if revision == "v1" or token_channels != in_channels:
            self.value = TokenConv(token_channels, in_channels, norm=norm)
            self.value.zero_init()
        else:
            self.gain = nn.Parameter(torch.zeros(()))
        self.token_softmax = nn.Softmax(dim=2)
        self.drop_path = nn.Identity()

    def forward(self, x: Tensor, tokens: Tensor, in_place: bool = False) -> Tensor:
        """``(N, C, H, W)`` and ``(N, C_T, L)`` to ``(N, C, H, W)``.

        Args:
            x: feature map.
            tokens: what to write.
            in_place: nobody else needs ``x``: inference may write into it.
        """
        key = split_heads(self.key(tokens), self.num_heads)
        filters = weight_into_filters(
            self.query.weight, key / math.sqrt(key.shape[2]), self.query.groups
        )
        value = split_heads(tokens if self.value is None else self.value(tokens), self.num_heads)
        if self.gain is not None:
            value = value * self.gain
        plain = is_plain_inference(self) and _is_identity(self.drop_path)
        # Elsewhere than on a CPU, whose caches hold a part of the map, parts only mean more calls.
        plain = plain and x.device.type == "cpu"
        if not plain or has_hooks(self.token_softmax) or x.numel() == 0:
            attention = self.token_softmax(pixel_logits(filters, x))  # sums to 1 over L
            written = (value @ attention.to(value.dtype)).reshape(x.shape)
            return x + self.drop_path(written)
        x = owned_map(x, in_place)
        write = _write_channels_last if x.stride(1) == 1 else _write_contiguous
        with without_autocast(x):
            for image, *of_tokens in zip(x.flatten(2), filters, value, strict=True):
                write(image, *of_tokens, self.token_softmax)
        return x


def _is_identity(drop_path: nn.Module) -> bool:
    """Whether it drops nothing, and nobody listens."""
    sources = ("torch.nn.modules.linear", "torchvision.ops.stochastic_depth")
    if not isinstance(drop_path, nn.Identity | StochasticDepth) or not is_stock(drop_path, sources):
        return False
    return isinstance(drop_path, nn.Identity) or not drop_path.training


def _write_contiguous(pixels: Tensor, filters: Tensor, value: Tensor, softmax: nn.Module) -> None:
    """Add what is written to one image's map, in place, some heads at a time.

    So the attention, which may be larger than the map, is never held as a whole.

    Args:
        pixels: ``(C, H * W)``.
        filters: ``(heads, L, C / blocks)``.
        value: ``(heads, C / heads, L)``.
        softmax: over L, dimension 2 of ``(1, heads, L, H * W)``.
    """
    blocks, heads, num_tokens = len(pixels) // filters.shape[2], *filters.shape[:2]
    maps = pixels.unflatten(0, (blocks, -1))
    at_a_time = AT_A_TIME // maps[0].numel() or 1
    # Per block: its channels, what its heads ask of them, and what they write.
    parts = (
        maps.split(at_a_time),
        filters.to(pixels.dtype).reshape(blocks, -1, filters.shape[2]).split(at_a_time),
        value.to(pixels.dtype).split(at_a_time * (heads // blocks)),
    )
    for x, f, v in zip(*parts, strict=True):
        attention = softmax(torch.bmm(f, x).view(1, len(v), num_tokens, -1))[0]
        x.view(*v.shape[:2], -1).baddbmm_(v, attention.to(v.dtype))


def _write_channels_last(
    pixels: Tensor, filters: Tensor, value: Tensor, softmax: nn.Module
) -> None:
    """:func:`_write_contiguous`, some pixels at a time: their channels lie together."""
    # CPUs are up to a hundred times slower at strided products in half precision.
    dtype = torch.float32 if pixels.itemsize < 4 else pixels.dtype
    filters, value = filters.to(dtype), value.to(dtype)
    at_a_time = AT_A_TIME_CHANNELS_LAST // len(pixels) or 1
    for strip in pixels.split(at_a_time, dim=1):
        x = strip.to(dtype)  # itself, if that is its type
        attention = softmax(pixel_logits(filters[None], x[None, :, :, None]))[0].to(dtype)
        heads = x.unflatten(0, value.shape[:2]).transpose(1, 2)
        heads += torch.bmm(attention.transpose(1, 2), value.transpose(1, 2))
        if x is not strip:
            strip.copy_(x)
