"""Token mixer: relates the visual tokens to one another."""

from torch import Tensor, nn

from .graph_conv import GraphConv
from .pointwise import NormFactory, TokenConv
from .revisions import check_revision
from .token_attention import TokenAttention

MIXERS = ("transformer", "graph_conv", "none")


class TokenMixer(nn.Module):
    """Residual steps on the tokens; the paper's transformer, or what it is compared with.

    "transformer", v1 as App. A Listing 3 runs it: ``T' = T + attention(T)``, ``T'' = T' + T' F``.
    Eq. 3 as printed, ``T + (softmax(..) V) F``, uses the same four weights, and the parameter
    counts of v1 Table 3 allow one ``F`` only, so the listing is taken. v4 (Eqs. 3-4):
    ``T'' = T' + relu(T' F1) F2``.

    "graph_conv" (v4 Table 5): ``T + A T W``, see :class:`GraphConv`.

    "none" (v1 Table 3 "-TF", v4 Table 5): ``T + T W``, a point-wise convolution: tokens never meet.

    With ``num_parallel`` above 1, each step adds that many branches of their own weights to its
    input (Touvron et al., "Three things everyone should know about Vision Transformers", Sec. 3).

    All branches start at zero, so that a fresh mixer returns its tokens unchanged (v4's transformer
    without a norm: up to the parameter-free attention).

    Attributes:
        relate: the branches in which tokens meet; none for "none".
        feed_forward: the branches that work on each token for itself; none for "graph_conv".
        drop_path: applied to what a step adds; the identity, or stochastic depth.
    """

    def __init__(
        self,
        token_channels: int,
        num_tokens: int,
        *,
        kind: str = "transformer",
        num_parallel: int = 1,
        num_heads: int = 16,
        token_groups: int = 8,
        revision: str = "v1",
        norm: NormFactory | None = None,
    ) -> None:
        """
        Args:
            token_channels: C_T.
            num_tokens: L, of all levels together ("graph_conv" alone depends on it).
            kind: "transformer", "graph_conv" or "none".
            num_parallel: branches per step.
            num_heads, token_groups: of the transformer, see :class:`TokenAttention`.
            revision: "v1" or "v4".
            norm: makes the norms; None for none.

        Raises:
            ValueError: an unknown name, no branch, or channels that heads or groups do not divide.
        """
        super().__init__()
        check_revision(revision)
        if kind not in MIXERS:
            raise ValueError(f"mixer {kind!r} is none of {MIXERS}")
        if num_parallel < 1:
            raise ValueError(f"{num_parallel} parallel mixers: at least 1 is needed")

        def relate() -> nn.Module:
            if kind == "graph_conv":
                return GraphConv(token_channels, num_tokens, norm=norm)
            return TokenAttention(
                token_channels,
                num_heads=num_heads,
                token_groups=token_groups,
                revision=revision,
                norm=norm,
            )

        def feed_forward() -> nn.Module:
            last = TokenConv(token_channels, token_channels, norm=norm)
            last.zero_init()
            if kind == "none" or revision == "v1":
                return last
            return nn.Sequential(
                TokenConv(token_channels, token_channels, norm=norm), nn.ReLU(), last
            )

        branches = range(num_parallel)
        self.relate = nn.ModuleList(relate() for _ in branches if kind != "none")
        self.feed_forward = nn.ModuleList(feed_forward() for _ in branches if kind != "graph_conv")
        self.drop_path = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, C_T, L)`` to ``(N, C_T, L)``."""
        for branches in (self.relate, self.feed_forward):
            if len(branches):
                tokens = tokens + self.drop_path(sum(branch(tokens) for branch in branches))
        return tokens
