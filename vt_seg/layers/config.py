"""Hyper-parameters of the Visual Transformers: each has its one default here."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

Size = tuple[int, int]
"""Height and width."""

NormFactory = Callable[[int], nn.Module] | None
"""Makes a norm over ``(N, channels, H, W)`` from a number of channels; None for no norm."""

TOKENIZERS = ("filter", "pooling", "clustering")
"""Tokenizers of the first layer. Later layers are recurrent, or like the first."""

MIXERS = ("transformer", "graph_conv", "none")

ZERO_INITS = ("all", "projector", "none")
"""Residual branches that start at zero: all, those of projectors, or none."""

OUTPUT_CONVS = ("none", "depthwise")

REVISIONS = ("v1", "v4")
"""v1: June 2020, with pseudo-code in App. A. v4: November 2020, Eqs. 1-5.

v4's equations, and the digits of its tables, are taken from notes on it; nobody has compared these
with the paper. Sections of its text are cited from the text itself.
"""

_CHOICES = {
    "tokenizer": TOKENIZERS,
    "mixer": MIXERS,
    "projector_reads": ("own", "all"),
    "zero_init": ZERO_INITS,
    "output_conv": OUTPUT_CONVS,
    "revision": REVISIONS,
}
_FEWEST = {"num_layers": 0, "clustering_steps": 0, "parallel_mixers": 1}


@dataclass(frozen=True)
class VTConfig:
    """Hyper-parameters of a stack of Visual Transformers; use ``dataclasses.replace`` to vary them.

    Attributes:
        num_layers: VT layers; 0 passes the maps on, a neck without tokens to compare with.
        num_tokens: L, the visual tokens of a feature map: one number, or one per level.
        token_channels: C_T, channels of a token.
        num_heads: heads of every attention.
        pixel_groups: groups of the 1x1 convolutions on pixels: values, keys, projector queries.
        token_groups: groups of the transformer's query, key and value convolutions (v1 only).
        tokenizer: of the first layer: "filter", "pooling" or "clustering".
        clustering_steps: steps of k-means for "clustering".
        recurrent: whether later layers take their tokens from those of the layer before; False
            makes them like the first (v1 Table 3 "-DT", v4 Table 4).
        mixer: how tokens are related: "transformer", "graph_conv" or "none" (v4 Table 5).
        parallel_mixers: branches that are summed in each step of the mixer.
        projector: False leaves the maps as they are between layers (v4 Table 7). Where maps are
            wanted, the last layer still writes its tokens back.
        projector_reads: "own" (a level's projector reads its own L tokens, which the 8.5 G of v1
            Table 4 need; the paper does not say) or "all" (the tokens of all levels).
        zero_init: which residual branches start at zero: "all", those of the "projector" or "none".
            Behind a branch that is zero nothing learns until it has grown (the paper is silent).
        top_down: of VT-FPN, whether each map gets the next coarser one, upsampled (no MACs; not in
            the paper).
        output_conv: of VT-FPN, on each output: "none" (the paper) or "depthwise" (3x3, with norm).
        positional_encoding: whether tokens get a positional encoding (v1 Eq. 2).
        position_size: side of the square to which attention is resized for it.
        position_downsamples: stride-2 convolutions on that square.
        revision: "v1" or "v4" of the formulas.

    Raises:
        ValueError: if a name is unknown, a number is out of range, the mixer's heads or groups do
            not divide its channels, or the combination of switches leaves tokens without effect.
    """

    num_layers: int = 1
    num_tokens: int | tuple[int, ...] = 8
    token_channels: int = 1024
    num_heads: int = 16
    pixel_groups: int = 16
    token_groups: int = 8
    tokenizer: str = "filter"
    clustering_steps: int = 5
    recurrent: bool = True
    mixer: str = "transformer"
    parallel_mixers: int = 1
    projector: bool = True
    projector_reads: str = "own"
    zero_init: str = "all"
    top_down: bool = False
    output_conv: str = "none"
    positional_encoding: bool = True
    position_size: int = 12
    position_downsamples: int = 1
    revision: str = "v1"

    def __post_init__(self) -> None:
        if isinstance(self.num_tokens, int):
            fewest_tokens = self.num_tokens
        else:
            object.__setattr__(self, "num_tokens", tuple(self.num_tokens))  # of a list, too
            fewest_tokens = min(self.num_tokens)
        is_cascade, is_v1 = self.num_layers > 1, self.revision == "v1"
        refuse_if(
            self.tokenizer == "recurrent",
            "tokenizer 'recurrent' cannot be the first: its queries are the tokens of a layer "
            "before. Name the tokenizer of the first layer (filter, pooling or clustering); later "
            "layers are recurrent by default",
        )
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            refuse_if(value not in choices, f"{name} {value!r} is none of {choices}")
        for name, fewest in _FEWEST.items():
            value = getattr(self, name)
            refuse_if(value < fewest, f"{name} {value}: at least {fewest} is needed")
        refuse_if(fewest_tokens < 1, f"num_tokens {self.num_tokens}: a level needs at least 1")
        refuse_if(
            is_cascade and self.recurrent and is_v1 and fewest_tokens < 2,
            "a recurrent tokenizer of v1 replaces half of its tokens, of 1 token none: use at "
            "least 2 tokens, revision 'v4' or recurrent=False",
        )
        refuse_if(
            is_cascade and not self.recurrent and not self.projector,
            "projector=False and recurrent=False: the tokens of all layers but the last would "
            "reach nothing. Switch one of them on, or use one layer",
        )
        if self.mixer == "transformer":
            refuse_if(
                self.token_channels % 2 != 0,
                f"token_channels {self.token_channels} must be even: keys have half of it",
            )
            check_divisible(self.token_channels // 2, num_heads=self.num_heads)
            if is_v1:
                check_divisible(self.token_channels // 2, token_groups=self.token_groups)

    def tokens_of_levels(self, num_levels: int) -> list[int]:
        """Return the number of tokens of each level.

        Raises:
            ValueError: if ``num_tokens`` gives numbers for another number of levels.
        """
        if isinstance(self.num_tokens, int):
            return [self.num_tokens] * num_levels
        numbers = list(self.num_tokens)
        refuse_if(
            len(numbers) != num_levels,
            f"numbers of tokens {numbers} for {num_levels} levels: give one, or one per level",
        )
        return numbers


def refuse_if(is_wrong: bool, message: str) -> None:
    """Raise ValueError with the message if something is wrong."""
    if is_wrong:
        raise ValueError(message)


def check_divisible(channels: int, **divisors: int) -> None:
    """Raise ValueError, naming the argument, unless each divisor divides the channels."""
    for name, divisor in divisors.items():
        if divisor < 1 or channels % divisor:
            raise ValueError(
                f"{name} {divisor} does not divide {channels} channels: use a divisor of {channels}"
            )
