"""The paper's cost in code: MACs and weights of its formulas.

Plain arithmetic on sizes; no layer is built. It stands beside what the implementation executes
(:func:`vt_seg.complexity.count_cost`), which may reach the same result with fewer MACs.

Formulas: v1 as App. A lists them, v4 as Eqs. 1-5 and App. C, with v1's groups in its queries of
pixels. One MAC is a multiplication with its addition; weights are those of convolutions and linear
layers, without norms. Resizing, pooling, averaging a cluster and softmax cost nothing.

One formula has two costs: Eq. 1 of v1 reads ``T = (W_V X) A`` with ``W_V`` on HW pixels, but
``W_V (X A)`` has it on L tokens. The neck's 8.5 G of v1 Table 4 and v1's VT-ResNets of depth 50 and
101 fit the latter alone: ``values_on_tokens``. (With ``W_V`` on pixels the neck has 8.86 G; both
hold for projectors that read their own level's tokens.) ``W_V`` has the C to C channels and the
groups of v1's listing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from vt_seg.layers import VTConfig

# L tokens of C_T channels; HW pixels of C channels.


@dataclass
class LiteralCost:
    """MACs and weights by term of the formulas."""

    macs: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)

    def conv(
        self, term: str, channels: tuple[int, int], places: int, *, groups: int = 1, kernel: int = 1
    ) -> None:
        """A convolution with ``(input, output)`` channels that is evaluated at ``places``."""
        weights = channels[0] * channels[1] // groups * kernel**2
        self.weights[term] += weights
        self.macs[term] += weights * places

    def product(self, term: str, macs: int) -> None:
        """A matrix product of two activations, which has no weights."""
        self.macs[term] += macs

    @property
    def total_macs(self) -> int:
        return self.macs.total()

    @property
    def total_weights(self) -> int:
        return self.weights.total()


def vt_resnet_stage(
    in_channels: int, channels: int, pixels: int, config: VTConfig, **more: bool
) -> LiteralCost:
    """Stage 5 of a VT-ResNet: the channel adjustment, where there is one, and the VT modules.

    Args:
        in_channels: channels of stage 4.
        channels: C of the VT modules.
        pixels: H * W of stage 4.
        config: of the VT modules.
        more: of :func:`vt_stack`.
    """
    cost = LiteralCost()
    if in_channels != channels:
        cost.conv("channel adjustment", (in_channels, channels), pixels)
    vt_stack(cost, channels, [pixels], config, **more)
    return cost


def vt_fpn_neck(
    in_channels: Sequence[int],
    channels: int,
    pixels: Sequence[int],
    config: VTConfig,
    **more: bool,
) -> LiteralCost:
    """The VT-FPN neck: laterals and one VT over all levels (v1 Sec. 4.2, v4 Sec. 4).

    Args:
        in_channels: channels of each map.
        channels: C, after the laterals.
        pixels: H * W of each map.
        config: of the VT layers.
        more: of :func:`vt_stack`.
    """
    cost = LiteralCost()
    for level_channels, level_pixels in zip(in_channels, pixels, strict=True):
        cost.conv("laterals", (level_channels, channels), level_pixels)
    vt_stack(cost, channels, pixels, config, **more)
    return cost


def vt_stack(
    cost: LiteralCost,
    channels: int,
    pixels: Sequence[int],
    config: VTConfig,
    *,
    tokens_only: bool = False,
    values_on_tokens: bool = False,
) -> None:
    """Add VT layers on maps of ``channels`` channels and ``pixels[i]`` pixels to ``cost``.

    ``config`` and ``tokens_only`` are those of :class:`vt_seg.layers.VisualTransformerStack`.
    ``values_on_tokens`` is the reading of v1's Eq. 1, for static tokenizers. Recurrent ones
    (App. A) have heads and ``W_V`` on pixels in both.
    """
    num_tokens, token_channels, revision = config.num_tokens, config.token_channels, config.revision
    all_tokens = num_tokens * len(pixels)
    for layer in range(config.num_layers):
        kind = "recurrent" if layer and config.recurrent else config.tokenizer
        for level_pixels in pixels:
            heads, new = _attention(
                cost,
                kind,
                (channels, token_channels),
                num_tokens,
                level_pixels,
                config,
            )
            if revision == "v1":
                places = new if values_on_tokens and kind != "recurrent" else level_pixels
                cost.conv("tokenizer W_V", (channels, channels), places, groups=config.pixel_groups)
            if kind != "pooling":
                cost.product("tokenizer A^T V", level_pixels * channels * new)
            width = channels
            if config.positional_encoding:
                width += _positional_encoding(
                    cost, heads, new, config.position_size, config.position_downsamples
                )
            # v4's T = X A has no layer where C = C_T and nothing is concatenated.
            if revision == "v1" or config.positional_encoding or channels != token_channels:
                cost.conv("tokenizer to C_T", (width, token_channels), new)
        for _ in range(config.parallel_mixers):
            _mixer(cost, config, all_tokens)
        is_last = layer == config.num_layers - 1
        if not tokens_only if is_last else config.projector:
            read = num_tokens if config.projector_reads == "own" else all_tokens
            for level_pixels in pixels:
                _projector(cost, channels, read, level_pixels, config)


def _attention(
    cost: LiteralCost,
    kind: str,
    channels: tuple[int, int],
    num_tokens: int,
    pixels: int,
    config: VTConfig,
) -> tuple[int, int]:
    """A, of which tokens weigh which pixels; returns its heads and how many tokens are new."""
    c, c_t = channels
    heads, new = 1, num_tokens
    if kind == "filter":  # softmax(X W_A)
        cost.conv("tokenizer W_A", (c, num_tokens), pixels)
    elif kind == "recurrent":  # softmax(X (T W)^T); in v1 half the tokens ask, in several heads
        if config.revision == "v1":
            heads, new = config.num_heads, num_tokens // 2
            cost.conv("tokenizer key", (c, c), pixels, groups=config.pixel_groups)
        cost.conv("tokenizer query", (c_t, c), new)
        cost.product("tokenizer logits", pixels * c * new)
    elif kind == "clustering":  # k-means, then softmax(X U)
        cost.product("tokenizer k-means", config.clustering_steps * pixels * c * num_tokens)
        cost.product("tokenizer logits", pixels * c * num_tokens)
    return heads, new


def _positional_encoding(
    cost: LiteralCost, heads: int, tokens: int, size: int, downsamples: int
) -> int:
    """Eq. 2 of v1 as App. A Listing 2 has it; returns its channels."""
    for _ in range(downsamples):
        size //= 2
        cost.conv("positional encoding", (heads, heads), size * size * tokens, kernel=3)
    cost.conv("positional encoding", (heads, 1), size * size * tokens)
    cost.conv("positional encoding", (size * size, size * size), tokens)
    return size * size


def _mixer(cost: LiteralCost, config: VTConfig, tokens: int) -> None:
    """What relates the tokens: v1 Eq. 3 (App. A Listing 3), v4 Eqs. 3-4, or an alternative."""
    kind, c_t = config.mixer, config.token_channels
    if kind == "graph_conv":  # A T W, W as large as "none" has
        cost.conv("graph convolution", (c_t, c_t), tokens)
        cost.product("graph convolution", tokens * tokens * c_t)
        cost.weights["graph convolution"] += tokens * tokens
    elif kind == "none":
        cost.conv("point-wise convolution", (c_t, c_t), tokens)
    else:
        v1 = config.revision == "v1"
        groups = config.token_groups if v1 else 1
        cost.conv("transformer K, Q", (c_t, c_t), tokens, groups=groups)  # twice C_T x C_T / 2
        if v1:
            cost.conv("transformer V", (c_t, c_t), tokens, groups=groups)
        cost.product("transformer products", 3 * tokens * tokens * c_t // 2)
        for _ in range(1 if v1 else 2):
            cost.conv("transformer F", (c_t, c_t), tokens)


def _projector(cost: LiteralCost, c: int, tokens: int, pixels: int, config: VTConfig) -> None:
    """Eq. 4 of v1, Eq. 5 of v4: K and V from C_T to C; where C_T = C, v4's V is T itself."""
    c_t = config.token_channels
    cost.conv("projector Q", (c, c), pixels, groups=config.pixel_groups)
    cost.conv("projector K", (c_t, c), tokens)
    if config.revision == "v1" or c != c_t:
        cost.conv("projector V", (c_t, c), tokens)
    cost.product("projector products", 2 * pixels * c * tokens)
