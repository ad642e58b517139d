"""A stack of Visual Transformers, one after the other on the same maps (v1 Sec. 3.4)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .visual_transformer import VisualTransformer, tokens_per_level


class VisualTransformerStack(nn.Module):
    """VT blocks of one kind: what VT-FPN has behind its laterals and VT-ResNet as stage 5.

    The first block has no tokens to start from (``T_in`` of the first layer does not exist), so its
    tokenizer is one that needs none. Later ones are recurrent (v1 Sec. 4), or like the first.

    Attributes:
        blocks: the :class:`VisualTransformer` blocks, in order.
    """

    def __init__(
        self,
        in_channels: int,
        num_layers: int,
        *,
        num_levels: int = 1,
        num_tokens: int | Sequence[int] = 8,
        tokenizer: str = "filter",
        recurrent: bool = True,
        projector: bool = True,
        tokens_only: bool = False,
        revision: str = "v1",
        **block: Any,
    ) -> None:
        """
        Args:
            in_channels: C, channels of every map.
            num_layers: number of blocks; 0 passes the maps on, a neck without tokens to compare
                with.
            num_levels: number of maps.
            num_tokens: L, for every level or one number per level.
            tokenizer: of the first block: "filter", "pooling" or "clustering".
            recurrent: whether the later blocks' tokenizers are recurrent; False makes them like the
                first (v1 Table 3 "-DT", v4 Table 4).
            projector: False leaves the maps as they are between the blocks (v4 Table 7). Where maps
                are wanted the last block writes back all the same: else no token reached them.
            tokens_only: the maps are not wanted, so the last block writes nothing back (as the
                paper's counts for classification have it).
            revision: "v1" or "v4" of the formulas.
            block: further arguments of :class:`VisualTransformer`.

        Raises:
            ValueError: a combination that cannot work, with the reason; see
                :class:`VisualTransformer` for the rest.
        """
        super().__init__()
        numbers = tokens_per_level(num_tokens, num_levels)
        fewest = 1 if tokens_only else 0  # 0 layers have no tokens to give
        if num_layers < fewest:
            raise ValueError(f"{num_layers} VT layers: at least {fewest} are needed")
        if tokenizer == "recurrent":
            raise ValueError(
                "tokenizer 'recurrent' cannot be the first: it asks with the tokens of a layer "
                "before. Name what the first layer does (filter, pooling or clustering); later "
                "layers are recurrent by default"
            )
        is_cascade = num_layers > 1
        if is_cascade and recurrent and revision == "v1" and min(numbers) < 2:
            raise ValueError(
                "a recurrent tokenizer of v1 replaces half of its tokens, of 1 token none: use at "
                "least 2 tokens, revision 'v4' or recurrent=False"
            )
        if not projector and num_layers == 1 and not tokens_only:
            raise ValueError(
                "projector=False would change nothing: the only layer's projector is what brings "
                "tokens to the pixels. Use projector=True or more layers (VT-FPN without tokens "
                "has num_layers=0)"
            )
        if not projector and is_cascade and not recurrent:
            raise ValueError(
                "projector=False and recurrent=False: the tokens of all layers but the last would "
                "reach nothing. Switch one of them on, or use one layer"
            )
        last = num_layers - 1
        self.blocks = nn.ModuleList(
            VisualTransformer(
                in_channels,
                num_levels=num_levels,
                num_tokens=numbers,
                tokenizer="recurrent" if i and recurrent else tokenizer,
                projector=not tokens_only if i == last else projector,
                revision=revision,
                **block,
            )
            for i in range(num_layers)
        )

    def forward(
        self, maps: Sequence[Tensor], mask: Tensor | None = None, *, in_place: bool = False
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """
        Args:
            maps: one feature map ``(N, C, H_i, W_i)`` per level.
            mask: ``(N, 1, h, w)``, or ``(1, 1, h, w)`` for all images, at any resolution, nonzero
                where a pixel is real; None if all are.
            in_place: nobody else needs the maps: inference may write into them.

        Returns:
            The maps, as they came in size, and the last block's tokens ``(N, C_T, L_i)`` per level
            (None without blocks).
        """
        maps, tokens = list(maps), None
        for block in self.blocks:
            before = maps
            maps, tokens = block(maps, tokens, mask, in_place=in_place)
            # What a block has made is nobody else's; one without projectors makes no maps.
            in_place = in_place or maps[0] is not before[0]
        return maps, tokens
