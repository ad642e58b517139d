"""Where each token looks and which tokens each pixel reads, captured from a running model."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vt_seg.layers import VisualTransformer, VisualTransformerStack
from vt_seg.modeling.vt_resnet import VisualTransformerStage


@dataclass(frozen=True)
class TokenMaps:
    """The tokens of one VT layer at one level of the pyramid, for a batch.

    The maps cover what the layer's feature map covers: the padded batch, at the map's resolution.

    Attributes:
        stack: path of the :class:`VisualTransformerStack` in the model, "sem_seg_head.neck.stack".
        layer: number of the VT layer in its stack, from 1.
        level: the feature map's name, "res2", or "map1" where it has none.
        attention: ``(N, heads, L, H, W)``, summing to 1 over the pixels: where each token of this
            layer's output looked when it was made. A recurrent tokenizer of v1 passes half of its
            tokens on from the layer before; theirs is the attention of the layer that made them,
            repeated for all heads where that layer had one.
        origins: for each of the L tokens the layer that made it and its number there, from 1.
        reads: ``(N, heads, L_read, H, W)``, summing to 1 over the tokens: how much of each token
            each pixel is given by the projector; None where the layer writes nothing back.
        read_names: names of the ``L_read`` tokens; () without a projector.
    """

    stack: str
    layer: int
    level: str
    attention: Tensor
    origins: tuple[tuple[int, int], ...]
    reads: Tensor | None
    read_names: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the L tokens: the level and the number in this layer's output, "res2/1"."""
        return token_names(self.level, self.attention.shape[2])


def token_names(level: str, num_tokens: int) -> tuple[str, ...]:
    """What the tokens of a level are called: "res2/1", "res2/2", ..."""
    return tuple(f"{level}/{number}" for number in range(1, num_tokens + 1))


@contextlib.contextmanager
def capture_tokens(model: nn.Module) -> Iterator[list[TokenMaps]]:
    """Collect the maps of every VT layer that runs inside the ``with`` block.

    ::

        with torch.no_grad(), capture_tokens(model) as maps:
            model(batch)
        for one in maps:  # by stack, layer and level, in the order in which they ran
            print(one.layer, one.level, one.attention.shape)

    Hooks read the maps as they are computed and are gone afterwards, so that the model is neither
    changed nor slowed down. Each further call of the model appends its maps.

    Args:
        model: any module that holds VT-FPN or VT-ResNet, or one of their stacks.

    Returns:
        (as the context) the list that is filled; tensors are detached and stay on their device.

    Raises:
        ValueError: the model holds no VT layer.
    """
    captured: list[TokenMaps] = []
    stacks = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, VisualTransformerStack) and len(module.blocks)
    }
    if not stacks:
        raise ValueError(
            f"{type(model).__name__} has no VT layer whose tokens could be seen: its config needs "
            "a VT-FPN with one layer or more (MODEL.SEM_SEG_HEAD.NAME VTFPNHead, or a "
            "*_vt_fpn_backbone) or a VT-ResNet (build_vt_resnet_backbone)"
        )
    with contextlib.ExitStack() as hooks:
        for name, stack in stacks.items():
            levels = _level_names(model, name, len(stack.blocks[0].tokenizers))
            _StackCapture(name, levels, captured).watch(stack, hooks)
        yield captured


class _StackCapture:
    """Reads one stack through hooks, and knows which layer made which token."""

    def __init__(self, name: str, levels: Sequence[str], captured: list[TokenMaps]) -> None:
        self.name, self.levels, self.captured = name, levels, captured
        self.fresh: dict[int, Tensor] = {}  # of this layer's new tokens, by level
        self.reads: dict[int, Tensor] = {}
        # Attention and origins of the layer before, then of this one, by level.
        self.seen: dict[int, tuple[Tensor, tuple[tuple[int, int], ...]]] = {}

    def watch(self, stack: VisualTransformerStack, hooks: contextlib.ExitStack) -> None:
        """Register the hooks; ``hooks`` removes them when it closes."""

        def add(handle: torch.utils.hooks.RemovableHandle) -> None:
            hooks.callback(handle.remove)

        add(stack.register_forward_pre_hook(lambda *_: self.seen.clear()))
        add(stack.register_forward_hook(lambda *_: self.seen.clear()))
        for number, block in enumerate(stack.blocks, start=1):
            for level, tokenizer in enumerate(block.tokenizers):
                add(tokenizer.attention.register_forward_hook(self._keep(self.fresh, level)))
                add(tokenizer.register_forward_hook(self._trace(number, level)))
            for level, projector in enumerate(block.projectors or ()):
                add(projector.token_softmax.register_forward_hook(self._keep(self.reads, level)))
            add(block.register_forward_hook(self._finish(number)))

    @staticmethod
    def _keep(into: dict[int, Tensor], level: int):
        def hook(_module: nn.Module, _args: tuple, output: Tensor) -> None:
            into[level] = output.detach()

        return hook

    def _trace(self, layer: int, level: int):
        """After a tokenizer: what came from the layer before, then what was made here."""

        def hook(_module: nn.Module, args: tuple, tokens: Tensor) -> None:
            fresh = self.fresh.pop(level).unflatten(-1, args[0].shape[-2:])
            num_kept = tokens.shape[2] - fresh.shape[2]
            numbers = range(num_kept + 1, tokens.shape[2] + 1)
            origins = tuple((layer, number) for number in numbers)
            if num_kept:
                attention, earlier = self.seen[level]
                kept = attention[:, :, -num_kept:]
                heads = max(kept.shape[1], fresh.shape[1])
                each = [x.expand(-1, heads, -1, -1, -1) for x in (kept, fresh)]
                fresh, origins = torch.cat(each, dim=2), earlier[-num_kept:] + origins
            self.seen[level] = fresh, origins

        return hook

    def _finish(self, layer: int):
        """After a block: one record per level."""

        def hook(block: VisualTransformer, _args: tuple, _output: tuple) -> None:
            numbers = [self.seen[level][0].shape[2] for level in range(len(self.levels))]
            names = [token_names(*pair) for pair in zip(self.levels, numbers, strict=True)]
            if block.projector_reads == "all":
                names = [sum(names, ())] * len(names)
            for level, level_name in enumerate(self.levels):
                attention, origins = self.seen[level]
                reads = self.reads.pop(level, None)
                if reads is not None:
                    reads = reads.unflatten(-1, attention.shape[-2:])
                self.captured.append(
                    TokenMaps(
                        stack=self.name,
                        layer=layer,
                        level=level_name,
                        attention=attention,
                        origins=origins,
                        reads=reads,
                        read_names=() if reads is None else names[level],
                    )
                )

        return hook


def _level_names(model: nn.Module, stack_name: str, num_levels: int) -> tuple[str, ...]:
    """The maps that a stack works on, by the names which the module around it gives them."""
    path = stack_name.split(".") if stack_name else []
    for length in range(len(path), -1, -1):
        module = model.get_submodule(".".join(path[:length]))
        if isinstance(module, VisualTransformerStage) and length:
            return (path[length - 1],)
        names = getattr(module, "in_features", None)
        if isinstance(names, list | tuple) and len(names) == num_levels:
            return tuple(names)
    return tuple(f"map{number}" for number in range(1, num_levels + 1))
