"""Tokenizers: from a feature map to a few visual tokens (v1 Secs. 3.1, 3.4; v4 Sec. 3.1, App. C).

They differ in where the attention comes from: learned filters, cells of a grid, k-means clusters
(:mod:`.clustering`), or earlier tokens.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from .config import NormFactory, Size, VTConfig, check_divisible
from .pixel_attention import (
    SpatialSoftmax,
    pixel_averages,
    pixel_logits,
    weight_into_filters,
    weight_onto_averages,
)
from .position_encoding import PositionEncoder, map_to_cells
from .token_conv import TokenConv


class Tokenizer(nn.Module):
    """Base of the tokenizers: averages under an attention, positional encoding, channels.

    ``T = (W_V X) A`` in v1, ``T = X A`` in v4 (Eq. 1 of both). Then the positional encoding is
    concatenated, and a 1x1 convolution with its norm brings the C + C_P channels to C_T: this is
    how C = 256 becomes C_T = 1024. (v1 Eq. 1 gives W_V as C x C_T; its listing, which is followed
    here, has it C to C in groups, and sets the channels afterwards.)

    v4 has no convolution where nothing is left to set: with C = C_T and without positional
    encoding, which v4 does not describe, the tokens are the averages themselves, as Eq. 1 says. v1
    always has it: its Sec. 4 asks for one where C_T differs from C, but its listing (App. A
    Listing 1) builds it without a condition. So the ablation of the encoding (v1 Table 3 "-PE")
    changes nothing else.

    The value convolution runs on averages, not on pixels (:mod:`.pixel_attention`).

    Attributes:
        attention: a module, for hooks: its output is the attention ``(N, heads, L, H * W)`` of the
            tokens that are made here, summing to 1 over the last axis.
        value: W_V; None in v4.
        position_encoder: None without positional encoding.
        to_token_channels: from C + C_P channels to C_T; None where nothing is left to set.
    """

    attention: nn.Module
    value: nn.Module | None

    def __init__(
        self,
        in_channels: int,
        num_tokens: int,
        config: VTConfig,
        norm: NormFactory = None,
        *,
        num_heads: int = 1,
    ) -> None:
        """Create the shared parts; raise ValueError if groups or heads do not divide channels."""
        super().__init__()
        self.num_heads = num_heads
        self.blocks = math.gcd(num_heads, config.pixel_groups)  # of channels, see `pixel_averages`
        is_v1 = config.revision == "v1"
        self.value = None
        if is_v1:
            check_divisible(in_channels, pixel_groups=config.pixel_groups)
            self.value = self._value_conv(in_channels, config.pixel_groups)
        self.position_encoder, width = None, in_channels
        if config.positional_encoding:
            self.position_encoder = PositionEncoder(
                num_heads, config.position_size, config.position_downsamples
            )
            width += self.position_encoder.out_channels
        self.to_token_channels = None
        if is_v1 or config.positional_encoding or width != config.token_channels:
            self.to_token_channels = TokenConv(width, config.token_channels, norm)

    def _value_conv(self, channels: int, groups: int) -> nn.Module:
        return TokenConv(channels, channels, groups=groups, bias=False)

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Extract tokens ``(N, C_T, L)`` from a feature map.

        Args:
            x: feature map ``(N, C, H, W)``.
            tokens: those of the layer before, ``(N, C_T, L)``; only recurrent tokenizers read them.
            mask: ``(N, 1, H, W)``, nonzero where a pixel counts; None when all do.
        """
        attention = self.attend(x, tokens, mask)
        averages = pixel_averages(x, attention, self.blocks)
        return self.from_averages(averages, attention, (x.shape[2], x.shape[3]), mask)

    def from_averages(
        self, averages: Tensor, attention: Tensor, size: Size, mask: Tensor | None
    ) -> Tensor:
        """Return tokens ``(N, C_T, L)``: values, then positional encoding, then channels.

        Args:
            averages: ``(N, heads, L, C / blocks)`` of the map, see :func:`pixel_averages`.
            attention: ``(N, heads, L, H * W)``, with which they were made.
            size: ``(H, W)`` of the map.
            mask: see :meth:`forward`.
        """
        new = self.values(averages)
        if self.position_encoder is not None:
            position = self.position_encoder(attention, size, mask)
            new = torch.cat((new, position.to(new.dtype)), dim=1)
        return new if self.to_token_channels is None else self.to_token_channels(new)

    def attend(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return the attention ``(N, heads, L, H * W)`` of the tokens to be made."""
        raise NotImplementedError

    def values(self, averages: Tensor) -> Tensor:
        """Return the values ``(N, C, L)`` of averages ``(N, 1, L, C)`` of the map."""
        averages = averages[:, 0].transpose(1, 2)
        return averages if self.value is None else self.value(averages)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load as any module does; refuse weights of a convolution that this tokenizer lacks.

        Without this, ``strict=False`` would leave the convolution out, and a model trained with it
        would compute something else.
        """
        super()._load_from_state_dict(state_dict, prefix, *args)
        error_msgs = args[-1]
        left_out = f"{prefix}to_token_channels."
        if self.to_token_channels is None and any(name.startswith(left_out) for name in state_dict):
            error_msgs.append(
                f"{left_out}* are weights of a convolution that this tokenizer lacks: in revision "
                "v4, tokens of as many channels as the map and without positional encoding are "
                "T = X A. The weights come from a model of revision v1, with positional encoding, "
                "or from before vt_seg left the convolution out: train again, or load weights of "
                "the same model"
            )


class FilterTokenizer(Tokenizer):
    """Filter-based ("static") tokenizer, Eq. 1 of both revisions: ``A = softmax_HW(W_A X)``.

    The logits are divided by ``sqrt(C)`` (v1 App. A Listing 1).
    """

    def __init__(
        self, in_channels: int, num_tokens: int, config: VTConfig, norm: NormFactory = None
    ) -> None:
        super().__init__(in_channels, num_tokens, config, norm)
        self.attention_filter = nn.Conv2d(in_channels, num_tokens, 1, bias=False)
        # Logits of unit variance on a normalised map: with smaller ones all L tokens start as the
        # same average of the map and separate slowly.
        nn.init.normal_(self.attention_filter.weight, std=1.0)
        self.attention = SpatialSoftmax()

    def attend(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return the attention ``(N, 1, L, H * W)`` of the filters."""
        filters = self.attention_filter.weight.flatten(1) / math.sqrt(x.shape[1])
        logits = pixel_logits(filters.expand(x.shape[0], 1, -1, -1), x)
        return self.attention(logits, mask)


class PoolingTokenizer(Tokenizer):
    """Pooling-based tokenizer, the baseline of v4 Sec. 5.1 (Table 3): the map in L cells."""

    def __init__(
        self, in_channels: int, num_tokens: int, config: VTConfig, norm: NormFactory = None
    ) -> None:
        super().__init__(in_channels, num_tokens, config, norm)
        self.attention = CellAttention(num_tokens)

    def attend(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return the attention ``(N, 1, L, H * W)`` of the cells."""
        return self.attention(x, mask)


class CellAttention(nn.Module):
    """Attention that is uniform inside a cell of a grid and zero outside, for maps of any size.

    L tokens make the grid of L cells that is nearest to a square, no higher than wide: 16 is 4 x 4,
    8 is 2 x 4, a prime number is one row. Pixels on the border of two cells count by area.
    """

    def __init__(self, num_tokens: int) -> None:
        """Choose the grid of ``num_tokens`` cells."""
        super().__init__()
        rows = max(n for n in range(1, math.isqrt(num_tokens) + 1) if num_tokens % n == 0)
        self.cells = (rows, num_tokens // rows)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention ``(N, 1, L, H * W)`` of the cells of a map ``(N, C, H, W)``.

        With a mask ``(N, 1, H, W)`` the grid covers the box around its pixels, and pixels outside
        it get weight zero.
        """
        to_rows, to_columns = map_to_cells((x.shape[2], x.shape[3]), self.cells, mask, x)
        shares = torch.einsum("...rh,...cw->...rchw", to_rows, to_columns)
        shares = shares.flatten(-4, -3).flatten(-2)
        if mask is None:
            shares = shares.expand(x.shape[0], -1, -1)
        else:
            inside = shares * (mask.flatten(2) != 0)
            # A cell without a pixel of the mask keeps its uniform weights, as does an empty mask.
            shares = torch.where(inside.sum(-1, keepdim=True) > 0, inside, shares)
        return (shares / shares.sum(-1, keepdim=True)).unsqueeze(1)


class RecurrentTokenizer(Tokenizer):
    """Recurrent ("dynamic") tokenizer, v1 Eq. 5, v4 Eq. 2: earlier tokens make the filter.

    v1 (Sec. 3.4, App. A Listing 1): the input tokens are split in halves along L; queries from
    ``T_a`` meet grouped keys of the pixels in several heads; the new tokens replace ``T_a``:
    ``concat_L(T_b, new)``. With an odd L, ``T_a`` is the smaller half.

    v4: ``W_R = T_in W_{T->R}``, ``A = softmax_HW(X W_R^T)``, ``T = X A``: one head, no key or value
    convolution, and all L tokens are extracted anew. (The ``1 / sqrt(C)`` in the logits is v1's.
    v4's text names no heads.)

    Attributes:
        key: convolution on pixels; None in v4.
    """

    key: nn.Conv2d | None
    value: nn.Conv2d | None

    def __init__(
        self, in_channels: int, num_tokens: int, config: VTConfig, norm: NormFactory = None
    ) -> None:
        num_heads = config.num_heads if config.revision == "v1" else 1
        super().__init__(in_channels, num_tokens, config, norm, num_heads=num_heads)
        check_divisible(in_channels, num_heads=num_heads)
        self.query = TokenConv(config.token_channels, in_channels, norm)
        self.key = None
        if self.value is not None:
            self.key = self._value_conv(in_channels, config.pixel_groups)
        self.attention = SpatialSoftmax()

    def _value_conv(self, channels: int, groups: int) -> nn.Conv2d:
        return nn.Conv2d(channels, channels, 1, groups=groups, bias=False)

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Extract tokens as any tokenizer, with those of the layer before as queries.

        Raises:
            ValueError: if ``tokens`` is None.
        """
        if tokens is None:
            raise ValueError(
                "a recurrent tokenizer needs the tokens of a layer before it: give the first layer "
                "another (filter, pooling or clustering)"
            )
        if self.key is None:
            return super().forward(x, tokens, mask)
        half = tokens.shape[2] // 2
        new = super().forward(x, tokens[:, :, :half], mask)
        return torch.cat((tokens[:, :, half:], new), dim=2)

    def attend(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return the attention ``(N, heads, L, H * W)`` of the tokens as queries."""
        query = self.query(tokens).unflatten(1, (self.num_heads, -1))
        query = query / math.sqrt(query.shape[2])
        if self.key is None:
            filters = query.transpose(2, 3)
        else:
            filters = weight_into_filters(self.key.weight, query, self.key.groups)
        return self.attention(pixel_logits(filters, x), mask)

    def values(self, averages: Tensor) -> Tensor:
        """Return the values ``(N, C, L)`` of each head's averages ``(N, heads, L, C / blocks)``."""
        if self.value is None:
            return super().values(averages)
        return weight_onto_averages(self.value.weight, averages, self.value.groups)
