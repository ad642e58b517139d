"""Projector: writes tokens back to the pixels of a feature map (v1 Sec. 3.3, Eq. 4; v4 Eq. 5)."""

import math

import torch
from torch import Tensor, nn

from .pointwise import NormFactory, TokenConv, check_divisible, split_heads
from .revisions import check_revision


class Projector(nn.Module):
    """Each pixel asks the tokens and adds what they answer.

    v1 Eq. 4: ``X + softmax_L(Q(X) K(T)^T / sqrt(d)) V(T)``, ``Q`` a grouped 1x1 convolution on
    pixels, ``K`` and ``V`` from C_T to C, multi-head as in App. A Listing 4. (The listing has ``Q``
    go from C to C_T, which cannot meet ``K``'s C channels; Eq. 4 and the MACs say C to C.)

    v4: the value is ``T`` itself where C_T = C; where they differ, as in every model of the paper,
    a 1x1 convolution must still adjust the channels, and the function is v1's.

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
        # No norm after the query: X comes normalised from the lateral, and a norm there would be
        # another pass over every pixel.
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

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """``(N, C, H, W)`` and ``(N, C_T, L)`` to ``(N, C, H, W)``."""
        query = split_heads(self.query(x).flatten(2), self.num_heads)
        key = split_heads(self.key(tokens), self.num_heads)
        value = split_heads(tokens if self.value is None else self.value(tokens), self.num_heads)
        logits = key.transpose(2, 3) @ query / math.sqrt(query.shape[2])
        attention = self.token_softmax(logits)  # (N, heads, L, HW), sums to 1 over L
        written = (value @ attention.to(value.dtype)).reshape(x.shape)
        if self.gain is not None:
            written = written * self.gain
        return x + self.drop_path(written)
