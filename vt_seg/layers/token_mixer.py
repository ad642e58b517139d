"""Token mixer: relates the visual tokens to one another (v1 Sec. 3.2, Eq. 3; v4 Eqs. 3, 4)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NormFactory, VTConfig
from .token_conv import TokenConv, normalise_tokens


class TokenMixer(nn.Module):
    """Residual steps on the tokens; the paper's transformer, or what it is compared with.

    "transformer", v1 as App. A Listing 3 runs it: ``T' = T + attention(T)``, ``T'' = T' + T' F``.
    Eq. 3 as reported, ``T + (softmax(..) V) F``, uses the same four weights, and the parameter
    counts of v1 Table 3 allow one ``F`` only, so the listing is taken. v4 (Eqs. 3-4):
    ``T'' = T' + relu(T' F1) F2``.

    "graph_conv" (v4 Table 5): ``T + A T W``, see :class:`GraphConv`.

    "none" (v1 Table 3 "-TF", v4 Table 5): ``T + T W``, a point-wise convolution: tokens never meet.

    With ``parallel_mixers`` above 1, each step adds that many branches of their own weights to its
    input (Touvron et al., "Three things everyone should know about Vision Transformers", Sec. 3).

    With ``zero_init`` "all", all branches start at zero, so that a fresh mixer returns its tokens
    unchanged (v4's transformer without a norm: up to the parameter-free attention).

    Attributes:
        relate: the branches in which tokens meet; none for "none".
        feed_forward: the branches that work on each token by itself; none for "graph_conv".
        drop_path: applied to what a step adds; the identity, or stochastic depth.
    """

    def __init__(self, num_tokens: int, config: VTConfig, norm: NormFactory = None) -> None:
        """Create the branches; ``num_tokens`` is L of all levels together."""
        super().__init__()
        self.relate, self.feed_forward = nn.ModuleList(), nn.ModuleList()
        for _ in range(config.parallel_mixers):
            if config.mixer == "transformer":
                self.relate.append(TokenAttention(config, norm))
            elif config.mixer == "graph_conv":
                zero_init = config.zero_init == "all"
                self.relate.append(
                    GraphConv(config.token_channels, num_tokens, norm, zero_init=zero_init)
                )
            if config.mixer != "graph_conv":
                self.feed_forward.append(_feed_forward(config, norm))
        self.drop_path = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(N, C_T, L)`` to ``(N, C_T, L)``."""
        for branches in (self.relate, self.feed_forward):
            if len(branches):
                tokens = tokens + self.drop_path(sum([branch(tokens) for branch in branches]))
        return tokens


def _feed_forward(config: VTConfig, norm: NormFactory) -> nn.Module:
    """Return ``F`` of v1 or, in v4's transformer, ``F1``, ReLU and ``F2``."""
    channels = config.token_channels
    last = TokenConv(channels, channels, norm)
    if config.zero_init == "all":
        last.zero_init()
    if config.mixer == "transformer" and config.revision == "v4":
        return nn.Sequential(TokenConv(channels, channels, norm), nn.ReLU(), last)
    return last


class TokenAttention(nn.Module):
    """Self-attention among visual tokens, a branch of :class:`TokenMixer`.

    v1: ``softmax(Q K^T / sqrt(d)) V`` with grouped keys, queries (C_T / 2) and values. The listing
    (App. A Listing 3) divides the logits by ``sqrt(L)``; d, the channels of a head, is meant in all
    likelihood and is used here.

    v4: ``softmax((TK)(TQ)^T) T``: the value is T itself, and so keys and queries are not grouped.
    (The paper gives no scale for v4; ``1 / sqrt(d)``.)

    Keys have no bias: it would add the same to all logits of a query, which softmax ignores.

    Both are multi-head here; v4's text names no heads. The equations write the query as ``TK`` and
    the keys as ``TQ``; here the names are the usual ones, and the function is the same.

    A norm follows each convolution and, in v4, the attention. With ``zero_init`` "all" the branch's
    last norm, or without norms its last convolution, starts at zero (except in v4 without norms,
    where no weight follows the attention).

    Attributes:
        value: None in v4.
        attention_norm: None in v1.
    """

    def __init__(self, config: VTConfig, norm: NormFactory = None) -> None:
        super().__init__()
        channels, inner = config.token_channels, config.token_channels // 2
        groups = config.token_groups if config.revision == "v1" else 1
        self.num_heads = config.num_heads
        self.query = TokenConv(channels, inner, norm, groups=groups)
        self.key = TokenConv(channels, inner, norm, groups=groups, bias=False)
        self.value = self.attention_norm = None
        if config.revision == "v1":
            self.value = TokenConv(channels, channels, norm, groups=groups)
            if config.zero_init == "all":
                self.value.zero_init()
        elif norm is not None:
            self.attention_norm = norm(channels)
            scale = getattr(self.attention_norm, "weight", None)
            if config.zero_init == "all" and isinstance(scale, nn.Parameter):
                nn.init.zeros_(scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(N, C_T, L)`` to ``(N, C_T, L)``; permuting the tokens permutes the result."""
        heads = (self.num_heads, -1)
        query = self.query(tokens).unflatten(1, heads)
        key = self.key(tokens).unflatten(1, heads)
        value = (tokens if self.value is None else self.value(tokens)).unflatten(1, heads)
        logits = query.transpose(2, 3) @ key / math.sqrt(query.shape[2])
        attention = F.softmax(logits, dim=-1)  # (N, heads, L queries, L keys)
        mixed = (value @ attention.transpose(2, 3).to(value.dtype)).flatten(1, 2)
        if self.attention_norm is not None:
            mixed = normalise_tokens(self.attention_norm, mixed)
        return mixed


class GraphConv(nn.Module):
    """Graph convolution ``A T W`` among visual tokens, a branch of :class:`TokenMixer`.

    A learned adjacency (L x L), the same for every image, passes tokens on; a 1x1 convolution
    projects them. The paper (v4 Table 5) names the alternative and no formula; this one has as many
    parameters as no mixer at all, up to L x L, as in v4 Table 5 (whose digits are second-hand).
    Each token has a fixed place in the graph, so that here permuting the tokens does matter.
    """

    def __init__(
        self,
        token_channels: int,
        num_tokens: int,
        norm: NormFactory = None,
        *,
        zero_init: bool = True,
    ) -> None:
        """Create adjacency and projection; ``num_tokens`` is L of all levels together."""
        super().__init__()
        self.adjacency = nn.Parameter(torch.randn(num_tokens, num_tokens) / num_tokens**0.5)
        self.projection = TokenConv(token_channels, token_channels, norm)
        if zero_init:
            self.projection.zero_init()

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(N, C_T, L)`` to ``(N, C_T, L)``: token i takes ``sum_j adjacency[i, j] T_j``."""
        return self.projection(tokens @ self.adjacency.t().to(tokens.dtype))
