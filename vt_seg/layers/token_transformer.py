"""Token transformer: self-attention among visual tokens (v1 Sec. 3.2, Eq. 3; v4 Eqs. 3-4)."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from .pointwise import NormFactory, TokenConv, check_divisible, split_heads
from .tokenizers import REVISIONS


class TokenTransformer(nn.Module):
    """Relates the tokens to one another; permuting the tokens permutes the output alike.

    v1, as App. A Listing 3 runs it: ``T' = T + softmax(Q K^T / sqrt(d)) V``, ``T'' = T' + T' F``.
    Eq. 3 as printed, ``T + (softmax(..) V) F``, uses the same four weights, and the parameter
    counts of v1 Table 3 allow one ``F`` only, so the listing is taken. Keys, queries (C_T / 2) and
    values are grouped. The listing divides the logits by ``sqrt(L)``; d, the channels of a head, is
    meant in all likelihood and is used here.

    v4: ``T' = T + softmax((TK)(TQ)^T) T``, ``T'' = T' + relu(T' F1) F2``: the value is T itself,
    and so keys and queries are not grouped. (The paper gives no scale for v4; ``1 / sqrt(d)``.)

    Both are multi-head. The equations write the token that asks as ``TK`` and those that answer as
    ``TQ``; here the names are the usual ones, query and key, and the function is the same.

    With a norm it stands after each convolution and, in v4, after attention. The last one of each
    residual branch starts at zero, so that a fresh transformer returns its tokens unchanged (v4
    without a norm: up to the parameter-free attention term).
    """

    def __init__(
        self,
        token_channels: int,
        *,
        num_heads: int = 16,
        groups: int = 8,
        revision: str = "v1",
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            token_channels: C_T, even.
            num_heads: heads; must divide C_T / 2.
            groups: of the key, query and value convolutions (v1 only).
            revision: "v1" or "v4".
            norm: makes the norms; None for none.

        Raises:
            ValueError: unknown revision, or heads or groups that do not divide the channels.
        """
        super().__init__()
        if revision not in REVISIONS:
            raise ValueError(f"revision {revision!r} is none of {REVISIONS}")
        if token_channels % 2:
            raise ValueError(f"token_channels {token_channels} must be even: keys have half of it")
        inner = token_channels // 2
        check_divisible(num_heads=(inner, num_heads))
        self.num_heads = num_heads
        if revision == "v1":
            check_divisible(groups=(inner, groups))
            self.query = TokenConv(token_channels, inner, groups=groups, norm=norm)
            self.key = TokenConv(token_channels, inner, groups=groups, norm=norm)
            self.value = TokenConv(token_channels, token_channels, groups=groups, norm=norm)
            self.value.zero_init()
            self.attention_norm = None
            self.feed_forward = TokenConv(token_channels, token_channels, norm=norm)
            self.feed_forward.zero_init()
        else:
            self.query = TokenConv(token_channels, inner, norm=norm)
            self.key = TokenConv(token_channels, inner, norm=norm)
            self.value = None
            self.attention_norm = norm(token_channels) if norm is not None else None
            if isinstance(getattr(self.attention_norm, "weight", None), nn.Parameter):
                nn.init.zeros_(self.attention_norm.weight)
            expand = TokenConv(token_channels, token_channels, norm=norm)
            contract = TokenConv(token_channels, token_channels, norm=norm)
            contract.zero_init()
            self.feed_forward = nn.Sequential(expand, nn.ReLU(), contract)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, C_T, L)`` to ``(N, C_T, L)``."""
        query = split_heads(self.query(tokens), self.num_heads)
        key = split_heads(self.key(tokens), self.num_heads)
        value = split_heads(tokens if self.value is None else self.value(tokens), self.num_heads)
        logits = query.transpose(2, 3) @ key / math.sqrt(query.shape[2])
        attention = F.softmax(logits, dim=-1)  # (N, heads, L asking, L answering)
        mixed = (value @ attention.transpose(2, 3)).flatten(1, 2)
        if self.attention_norm is not None:
            mixed = self.attention_norm(mixed.unsqueeze(-1)).squeeze(-1)
        tokens = tokens + mixed
        return tokens + self.feed_forward(tokens)
