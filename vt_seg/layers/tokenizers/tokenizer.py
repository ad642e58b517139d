"""What all tokenizers share: averages under an attention, positional encoding, channels."""

from typing import Any

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

    ``T = (W_V X) A`` in v1 (Eq. 1), ``T = X A`` in v4 (Eq. 1). Then the positional encoding is
    concatenated, and a 1x1 convolution on the tokens, with its norm, sets the channels: this is how
    C = 256 becomes C_T = 1024. (v1 Eq. 1 gives W_V as C x C_T; its listing, which is followed here,
    has it C to C in groups, and sets the channels afterwards.)

    v4 has no convolution where nothing is left to set: with C = C_T and without positional encoding
    the tokens are the averages themselves, as Eq. 1 says. v4 does not describe a positional
    encoding; where one is used all the same, the convolution brings C + C_P channels to C_T.

    v1 always has the convolution. Its Sec. 4 asks for one "if the visual token's channel size C_T
    is not the same as the input feature's channel size C", but its listing (App. A Listing 1)
    builds it without a condition, since the positional encoding always widens the tokens first.
    It is kept for C = C_T without positional encoding, which v1 does not list, so that the ablation
    of the encoding (v1 Table 3 "-PE") changes nothing else.

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
            position_encoder: for the heads of the attention; None for no positional encoding.
            norm: makes the norm after the last convolution; None for none.

        Raises:
            ValueError: if ``revision`` is unknown or ``pixel_groups`` does not divide C.
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
        self.to_token_channels = None
        if revision == "v1" or position_encoder is not None or token_channels != in_channels:
            self.to_token_channels = TokenConv(width, token_channels, norm=norm)

    def _value_conv(self, channels: int, groups: int) -> nn.Module:
        return TokenConv(channels, channels, groups=groups, bias=False)

    def average(self, x: Tensor, attention: Tensor) -> Tensor:
        """Return averages ``(N, C, L)`` of ``x``, weighted by an attention ``(N, 1, L, H * W)``."""
        tokens = pixel_averages(x, attention, 1)[:, 0].transpose(1, 2)
        return tokens if self.value is None else self.value(tokens)

    def finish(self, tokens: Tensor, attention: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        """Concatenate the positional encoding (v1 Eq. 2) and adjust the channels to C_T."""
        if self.position_encoder is not None:
            position = self.position_encoder(attention, x.shape[-2:], mask)
            tokens = torch.cat((tokens, position.to(tokens.dtype)), dim=1)
        return tokens if self.to_token_channels is None else self.to_token_channels(tokens)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load as any module does; refuse weights of a convolution that this tokenizer lacks.

        Without this, ``strict=False`` would leave the convolution out, and a model trained with it
        would compute something else.
        """
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
        left_out = f"{prefix}to_token_channels."
        if self.to_token_channels is None and any(name.startswith(left_out) for name in state_dict):
            error_msgs.append(
                f"{left_out}* are weights of a convolution that this tokenizer lacks: in revision "
                "v4, tokens of as many channels as the map and without positional encoding are "
                "T = X A. The weights come from a model of revision v1, with positional encoding, "
                "or from before vt_seg left the convolution out: train again, or load weights of "
                "the same model"
            )
