"""Projector: writes tokens back to the pixels of a feature map (v1 Sec. 3.3, Eq. 4; v4 Eq. 5)."""

import math

import torch
from torch import Tensor, nn

from .config import NormFactory, VTConfig, check_divisible
from .pixel_attention import pixel_logits, weight_into_filters
from .token_conv import TokenConv


class Projector(nn.Module):
    """Cross-attention from pixels to tokens, added to the map.

    v1 Eq. 4: ``X + softmax_L(Q(X) K(T)^T / sqrt(d)) V(T)``, ``Q`` a grouped 1x1 convolution on
    pixels, ``K`` and ``V`` from C_T to C, multi-head as in App. A Listing 4. ``Q`` is C to C here,
    which neither source says: Eq. 4 gives it as C_T x C, which does not fit the C channels of
    ``X``, and the listing has it go from C to C_T, which does not fit the C channels of ``K``.
    C to C fits both, and the MACs of the paper's tables.

    v4 (Eq. 5): the value is ``T`` itself where C_T = C, as in VT-ResNet-50 and -101. Where they
    differ, as in VT-FPN and in VT-ResNet-18 and -34, a 1x1 convolution must still adjust the
    channels, and the function is v1's. (v4's text names neither groups nor heads; they are v1's.)

    The branch starts at zero, unless ``zero_init`` is "none": a fresh projector is the identity on
    ``X``. Where no weight stands in the branch (v4, C_T = C) a scalar ``gain`` does it; the paper's
    formula has gain 1.

    Attributes:
        token_softmax: a module, for hooks: its output is the share of each token in what each pixel
            reads, ``(N, heads, L, H * W)``, summing to 1 over L.
        drop_path: applied to what is added; the identity, or stochastic depth.
    """

    def __init__(self, in_channels: int, config: VTConfig, norm: NormFactory = None) -> None:
        """Create the convolutions.

        Raises:
            ValueError: if heads or groups do not divide ``in_channels``, C.
        """
        super().__init__()
        check_divisible(in_channels, num_heads=config.num_heads, pixel_groups=config.pixel_groups)
        self.num_heads = config.num_heads
        # No norm after the query, so that `forward` can move it from the pixels to the keys.
        self.query = nn.Conv2d(in_channels, in_channels, 1, groups=config.pixel_groups, bias=False)
        # The softmax over tokens cancels a bias, which is the same for all of them.
        self.key = TokenConv(config.token_channels, in_channels, norm, bias=False)
        self.value: TokenConv | None = None
        self.gain: nn.Parameter | None = None
        if config.revision == "v1" or config.token_channels != in_channels:
            self.value = TokenConv(config.token_channels, in_channels, norm)
            if config.zero_init != "none":
                self.value.zero_init()
        else:
            self.gain = nn.Parameter(torch.tensor(float(config.zero_init == "none")))
        self.token_softmax = nn.Softmax(dim=2)
        self.drop_path = nn.Identity()

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Write tokens ``(N, C_T, L)`` to a map ``(N, C, H, W)``; return the new map."""
        filters, values = self.filters_and_values(tokens)
        attention = self.token_softmax(pixel_logits(filters, x))
        written = values @ attention.to(values.dtype)
        return x + self.drop_path(written.reshape(x.shape))

    def filters_and_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return what pixels need of tokens ``(N, C_T, L)``.

        Returns:
            filters ``(N, heads, L, C / blocks)`` that give the logits (:func:`pixel_logits`), and
            values ``(N, heads, C / heads, L)``.
        """
        key = self.key(tokens).unflatten(1, (self.num_heads, -1))
        values = tokens if self.value is None else self.value(tokens)
        if self.gain is not None:
            values = values * self.gain
        filters = weight_into_filters(
            self.query.weight, key / math.sqrt(key.shape[2]), self.query.groups
        )
        return filters, values.unflatten(1, (self.num_heads, -1))
