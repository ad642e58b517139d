"""Self-attention among visual tokens (v1 Sec. 3.2, Eq. 3; v4 Eq. 3)."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from .pointwise import (
    NormFactory,
    TokenConv,
    check_divisible,
    normalise_tokens,
    split_heads,
)
from .revisions import check_revision


class TokenAttention(nn.Module):
    """Each token asks all tokens; the branch that :class:`TokenMixer` adds to the tokens.

    v1: ``softmax(Q K^T / sqrt(d)) V`` with grouped keys, queries (C_T / 2) and values. The listing
    (App. A Listing 3) divides the logits by ``sqrt(L)``; d, the channels of a head, is meant in all
    likelihood and is used here.

    v4: ``softmax((TK)(TQ)^T) T``: the value is T itself, and so keys and queries are not grouped.
    (The paper gives no scale for v4; ``1 / sqrt(d)``.)

    Keys have no bias: what it adds to all of them alike, the softmax takes away.

    Both are multi-head here; v4's text names no heads. The equations write the query as ``TK`` and
    the keys as ``TQ``; here the names are the usual ones, and the function is the same.

    With a norm it stands after each convolution and, in v4, after the attention. The last one of
    the branch starts at zero (in v4 without a norm nothing can: no weight follows the attention).
    """

    def __init__(
        self,
        token_channels: int,
        *,
        num_heads: int = 16,
        token_groups: int = 8,
        revision: str = "v1",
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            token_channels: C_T, even.
            num_heads: heads; must divide C_T / 2.
            token_groups: of the key, query and value convolutions (v1 only).
            revision: "v1" or "v4".
            norm: makes the norms; None for none.

        Raises:
            ValueError: unknown revision, or heads or groups that do not divide the channels.
        """
        super().__init__()
        check_revision(revision)
        if token_channels % 2:
            raise ValueError(f"token_channels {token_channels} must be even: keys have half of it")
        inner = token_channels // 2
        check_divisible(num_heads=(inner, num_heads))
        self.num_heads = num_heads
        self.value = self.attention_norm = None
        if revision == "v1":
            check_divisible(token_groups=(inner, token_groups))
            self.query = TokenConv(token_channels, inner, groups=token_groups, norm=norm)
            self.key = TokenConv(token_channels, inner, groups=token_groups, norm=norm, bias=False)
            self.value = TokenConv(token_channels, token_channels, groups=token_groups, norm=norm)
            self.value.zero_init()
        else:
            self.query = TokenConv(token_channels, inner, norm=norm)
            self.key = TokenConv(token_channels, inner, norm=norm, bias=False)
            self.attention_norm = norm(token_channels) if norm is not None else None
            if isinstance(getattr(self.attention_norm, "weight", None), nn.Parameter):
                nn.init.zeros_(self.attention_norm.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, C_T, L)`` to ``(N, C_T, L)``; permuting the tokens permutes the result alike."""
        query = split_heads(self.query(tokens), self.num_heads)
        key = split_heads(self.key(tokens), self.num_heads)
        value = split_heads(tokens if self.value is None else self.value(tokens), self.num_heads)
        logits = query.transpose(2, 3) @ key / math.sqrt(query.shape[2])
        attention = F.softmax(logits, dim=-1)  # (N, heads, L asking, L answering)
        mixed = (value @ attention.transpose(2, 3).to(value.dtype)).flatten(1, 2)
        if self.attention_norm is not None:
            mixed = normalise_tokens(self.attention_norm, mixed)
        return mixed
