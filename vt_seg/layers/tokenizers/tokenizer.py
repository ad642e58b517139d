"""What all tokenizers share: averages under an attention, position code, channels."""

import torch
from torch import Tensor, nn

from ..pixel_products import pixel_averages
from ..pointwise import NormFactory, TokenConv, check_divisible
from ..position_encoding import PositionEncoder
from ..revisions import check_revision


class Tokenizer(nn.Module):
    """Base of the tokenizers; called ``tokenizer(x, tokens, mask)``, gives ``(N, C_T, L)``.

    ``x`` is the feature map ``(N, C, H, W)``, ``tokens`` are those of the layer before, ``(N, C_T,
    L)`` (None in the first layer), ``mask`` is ``(N, 1, H, W)`` or None.

    ``T = (W_V X) A`` in v1 (Eq. 1), ``T = X A`` in v4; then the position code is concatenated, and
    a 1x1 convolution on the tokens sets the channels: so C_T = 1024 comes from C = 256.

    The value convolution runs on averages, not on pixels (:mod:`..pixel_products`).

    Attributes:
        attention: a module, for hooks: its output is the attention ``(N, heads, L, H * W)`` of the
            tokens that are made here, summing to 1 over the last axis.
    """

    attention: nn.Module

    def __init__(
        self,
        in_channels: int,
        token_channels: int,
        *,
        pixel_groups: int = 16,
        revision: str = "v1",
        position_encoder: PositionEncoder | None = None,
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            in_channels: C.
            token_channels: C_T.
            pixel_groups: of the value convolution W_V (v1 only).
            revision: "v1" or "v4".
            position_encoder: for the heads of the attention; None for no position code.
            norm: makes the norm after the last convolution; None for none.

        Raises:
            ValueError: unknown revision, or groups that do not divide the channels.
        """
        super().__init__()
        check_revision(revision)
        self.revision = revision
        self.value = None
        if revision == "v1":
            check_divisible(pixel_groups=(in_channels, pixel_groups))
            self.value = self._value_conv(in_channels, pixel_groups)
        self.position_encoder = position_encoder
        width = in_channels + (position_encoder.out_channels if position_encoder else 0)
        self.to_token_channels = TokenConv(width, token_channels, norm=norm)

    def _value_conv(self, channels: int, groups: int) -> nn.Module:
        return TokenConv(channels, channels, groups=groups, bias=False)

    def average(self, x: Tensor, attention: Tensor) -> Tensor:
        """Tokens ``(N, C, L)``: averages of ``x`` under the attention ``(N, 1, L, H * W)``."""
        tokens = pixel_averages(x, attention, 1)[:, 0].transpose(1, 2)
        return tokens if self.value is None else self.value(tokens)

    def finish(self, tokens: Tensor, attention: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        """Concatenate the position code (v1 Eq. 2) and adjust the channels to C_T."""
        if self.position_encoder is not None:
            position = self.position_encoder(attention, x.shape[-2:], mask)
            tokens = torch.cat((tokens, position.to(tokens.dtype)), dim=1)
        return self.to_token_channels(tokens)
