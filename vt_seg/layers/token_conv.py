"""1x1 convolutions on visual tokens, with an optional norm."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NormFactory


class TokenConv(nn.Module):
    """1x1 convolution on tokens ``(N, C, L)``, then the norm (if any).

    The bias is left out when a norm follows; for the norm see :func:`normalise_tokens`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: NormFactory = None,
        *,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        """Create the convolution and its norm; ``bias`` is for where no norm follows."""
        super().__init__()
        self.conv = nn.Conv1d(
            in_channels, out_channels, 1, groups=groups, bias=bias and norm is None
        )
        self.norm = norm(out_channels) if norm is not None else None

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(N, in_channels, L)`` to ``(N, out_channels, L)``."""
        weight, bias, groups = self.conv.weight.squeeze(-1), self.conv.bias, self.conv.groups
        if groups == 1:  # a linear layer on few rows is quicker than a convolution
            tokens = F.linear(tokens.transpose(1, 2), weight, bias).transpose(1, 2)
        else:  # one product for all groups, where a GPU's grouped convolution starts many kernels
            matrices = weight.unflatten(0, (groups, -1))
            inputs = tokens.unflatten(1, (groups, -1))
            tokens = torch.einsum("goi,ngil->ngol", matrices, inputs).flatten(1, 2)
            tokens = tokens if bias is None else tokens + bias.unsqueeze(-1)
        return tokens if self.norm is None else normalise_tokens(self.norm, tokens)

    def zero_init(self) -> None:
        """Make the output zero: a residual branch that ends here starts as the identity."""
        scale = getattr(self.norm, "weight", None)
        if isinstance(scale, nn.Parameter):
            nn.init.zeros_(scale)
        else:  # no norm, or one without a learned scale (FrozenBN)
            nn.init.zeros_(self.conv.weight)
            if self.conv.bias is not None:
                nn.init.zeros_(self.conv.bias)


def normalise_tokens(norm: nn.Module, tokens: Tensor) -> Tensor:
    """Apply a norm of maps to tokens ``(N, C, L)``; batch norm takes statistics over N and L.

    The norm sees the tokens as a map of height 1, ``(N, C, 1, L)``, never of width 1. Tokens and
    their gradients may have their channels side by side in memory. ``unsqueeze(-1)`` would give
    these the strides ``(L * C, 1, C, 1)``, for which the CPU kernel of batch norm computes wrong
    gradients (found in PyTorch 2.14.1: it takes the memory formats of input and gradient for the
    same where they are not). With ``unsqueeze(2)`` the strides are those of an ordinary
    channels-last map, which it handles.
    """
    return norm(tokens.unsqueeze(2)).squeeze(2)
