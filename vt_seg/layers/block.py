"""Visual Transformer blocks: tokenizer, token mixer, projector (v1 Fig. 1), and stacks of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .clustering import ClusteringTokenizer
from .config import NormFactory, VTConfig, refuse_if
from .masks import level_masks
from .projector import Projector
from .token_mixer import TokenMixer
from .tokenizers import FilterTokenizer, PoolingTokenizer, RecurrentTokenizer, Tokenizer

TOKENIZER_CLASSES: dict[str, type[Tokenizer]] = {
    "filter": FilterTokenizer,
    "pooling": PoolingTokenizer,
    "clustering": ClusteringTokenizer,
}


class VisualTransformer(nn.Module):
    """One VT: extracts tokens from feature maps, relates them, and writes them back.

    It works on a pyramid of maps, each with its own tokenizer and projector and all with one mixer
    (v1 Sec. 4.2); VT-ResNet's single map is a pyramid of one.

    Attributes:
        num_tokens: L of each level.
        tokenizers: one per level.
        mixer: one, over the tokens of all levels.
        projectors: one per level, or None where the block writes nothing back.
        projector_reads: "own" or "all", see :class:`VTConfig`.
    """

    def __init__(
        self,
        in_channels: int,
        num_levels: int,
        config: VTConfig,
        norm: NormFactory = None,
        *,
        recurrent: bool = False,
        projects: bool = True,
    ) -> None:
        """Create the parts for ``num_levels`` maps of C ``in_channels``.

        ``recurrent`` tokenizers take their tokens from those of the block before; a block that
        ``projects`` writes its tokens back to the maps.

        Raises:
            ValueError: if the config does not fit the channels or the number of levels.
        """
        super().__init__()
        self.num_tokens = config.tokens_of_levels(num_levels)
        self.projector_reads = config.projector_reads
        tokenizer = RecurrentTokenizer if recurrent else TOKENIZER_CLASSES[config.tokenizer]
        self.tokenizers = nn.ModuleList(
            tokenizer(in_channels, number, config, norm) for number in self.num_tokens
        )
        self.mixer = TokenMixer(sum(self.num_tokens), config, norm)
        projectors = (Projector(in_channels, config, norm) for _ in self.num_tokens)
        self.projectors = nn.ModuleList(projectors) if projects else None

    def forward(
        self,
        maps: Sequence[Tensor],
        tokens: Sequence[Tensor] | None = None,
        mask: Tensor | None = None,
        written: Sequence[Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Extract tokens, relate them, and write them back.

        Args:
            maps: one feature map ``(N, C, H_i, W_i)`` per level, of any sizes.
            tokens: those of the block before, ``(N, C_T, L_i)`` per level; None in the first.
            mask: of real pixels, see :func:`.level_masks`, which refuses other shapes.
            written: tokens ``(1, C_T, L_i)`` per level, of another image, that are written to the
                maps in the place of the maps' own, which are then not extracted.

        Returns:
            The maps ``(N, C, H_i, W_i)`` and the tokens ``(N, C_T, L_i)``, per level.
        """
        if written is None:
            masks = [None] * len(maps) if mask is None else level_masks(mask, maps)
            before = [None] * len(maps) if tokens is None else tokens
            levels = zip(self.tokenizers, maps, before, masks, strict=True)
            mixed = self.mixer(torch.cat([one(*inputs) for one, *inputs in levels], dim=2))
        else:
            mixed = torch.cat(list(written), dim=2).expand(maps[0].shape[0], -1, -1)
        tokens = list(mixed.split(self.num_tokens, dim=2))
        if self.projectors is None:
            return list(maps), tokens
        read = tokens if self.projector_reads == "own" else [mixed] * len(tokens)
        pairs = zip(self.projectors, maps, read, strict=True)
        return [projector(*inputs) for projector, *inputs in pairs], tokens


class VisualTransformerStack(nn.Module):
    """VT blocks one after the other on the same maps (v1 Sec. 3.4).

    This is what VT-FPN has behind its laterals and VT-ResNet as stage 5. The first block has no
    tokens to start from (``T_in`` of the first layer does not exist), so its tokenizer is one that
    needs none. Later ones are recurrent (v1 Sec. 4), or like the first.
    """

    def __init__(
        self,
        in_channels: int,
        num_levels: int,
        config: VTConfig,
        norm: NormFactory = None,
        *,
        tokens_only: bool = False,
    ) -> None:
        """Create the blocks; see :class:`VisualTransformer` for most arguments.

        With ``tokens_only`` the maps are not wanted, so the last block writes nothing back (as the
        paper's counts for classification have it).

        Raises:
            ValueError: if the config does not fit the channels or the number of levels, or leaves
                what is wanted without effect.
        """
        super().__init__()
        refuse_if(
            tokens_only and config.num_layers < 1, "num_layers 0: at least 1 is needed for tokens"
        )
        refuse_if(
            not (config.projector or tokens_only) and config.num_layers == 1,
            "projector=False would change nothing: the only layer's projector is what brings "
            "tokens to the pixels. Use projector=True or more layers (VT-FPN without tokens "
            "has num_layers=0)",
        )
        last = config.num_layers - 1
        self.blocks = nn.ModuleList(
            VisualTransformer(
                in_channels,
                num_levels,
                config,
                norm,
                recurrent=i > 0 and config.recurrent,
                projects=not tokens_only if i == last else config.projector,
            )
            for i in range(config.num_layers)
        )

    def forward(
        self,
        maps: Sequence[Tensor],
        mask: Tensor | None = None,
        written: Sequence[Sequence[Tensor]] | None = None,
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """Run the blocks on maps ``(N, C, H_i, W_i)``, each on the maps and tokens of the last.

        ``written`` are tokens of another image, as :meth:`tokens_of_blocks` gives them.

        Returns:
            The maps and the last block's tokens ``(N, C_T, L_i)`` per level (None without blocks).
        """
        outputs, tokens = list(maps), None
        for i, block in enumerate(self.blocks):
            outputs, tokens = block(outputs, tokens, mask, None if written is None else written[i])
        return outputs, tokens

    def tokens_of_blocks(self, maps: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return the tokens ``(N, C_T, L_i)`` per block and level of maps ``(N, C, H_i, W_i)``."""
        found: list[list[Tensor]] = []
        for block in self.blocks:
            maps, tokens = block(maps, found[-1] if found else None)
            found.append(tokens)
        return found
