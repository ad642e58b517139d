"""Capture, from a running model, where each token attends and which tokens each pixel reads."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vt_seg.layers import VisualTransformer, VisualTransformerStack
from vt_seg.modeling.vt_resnet import VisualTransformerStage

Origins = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class TokenMaps:
    """The tokens of one VT layer at one level of the pyramid, for a batch.

    The maps cover what the layer's feature map covers: the padded batch, at the map's resolution.

    Attributes:
        stack: Path of the `VisualTransformerStack` in the model, "sem_seg_head.neck.stack".
        layer: Number of the VT layer in its stack, from 1.
        level: Name of the feature map, "res2", or "map1" where it has none.
        attention: ``(N, heads, L, H, W)``, summing to 1 over the pixels: the attention of each
            token of this layer's output when it was extracted. A recurrent tokenizer of v1 passes
            on half of the tokens of the layer before; these have the attention of the layer that
            extracted them, repeated for all heads where that layer had one.
        origins: For each of the L tokens the layer that extracted it and its number there, from 1.
        reads: ``(N, heads, L_read, H, W)``, summing to 1 over the tokens: the projector's attention
            of each pixel; None where the layer writes nothing back.
        read_names: Names of the ``L_read`` tokens; () without a projector.
    """

    stack: str
    layer: int
    level: str
    attention: Tensor
    origins: Origins
    reads: Tensor | None
    read_names: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the L tokens: the level and the number in this layer's output, "res2/1"."""
        return token_names(self.level, self.attention.shape[2])


def token_names(level: str, num_tokens: int) -> tuple[str, ...]:
    """Return the names of a level's tokens: "res2/1", "res2/2", ..."""
    return tuple(f"{level}/{number}" for number in range(1, num_tokens + 1))


@contextlib.contextmanager
def capture_tokens(model: nn.Module) -> Iterator[list[TokenMaps]]:
    """Collect the maps of every VT layer that runs inside the ``with`` block.

    They are listed by stack, layer and level, in the order in which they ran; `docs/tokens.md` has
    an example. Forward hooks read the maps and are removed afterwards. Each further call of the
    model appends its maps; their tensors are detached and stay on their device. ``model`` is a
    plain one, not one from `vt_seg.inference.optimize`, or any module of it that holds a
    `VisualTransformerStack`.

    Raises:
        ValueError: If the model holds no VT layer.
    """
    captured: list[TokenMaps] = []
    stacks: dict[str, Any] = {
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
            levels = _level_names(model, name, len(stack.blocks[0].num_tokens))
            for handle in _StackCapture(name, levels, captured).register_hooks(stack):
                hooks.callback(handle.remove)
        yield captured


class _StackCapture:
    """Reads one stack through hooks, and tracks which layer extracted which token."""

    def __init__(self, name: str, levels: Sequence[str], captured: list[TokenMaps]) -> None:
        self.name, self.levels, self.captured = name, levels, captured
        # Attention of the modules that have run: tokenizers' and projectors'.
        self.outputs: dict[nn.Module, Tensor] = {}
        # Attention and origins of the tokens of the layer before, by level.
        self.before: dict[int, tuple[Tensor, Origins]] = {}

    def register_hooks(self, stack: VisualTransformerStack) -> Iterator[RemovableHandle]:
        yield stack.register_forward_pre_hook(self._start)
        block: Any
        for number, block in enumerate(stack.blocks, start=1):
            for tokenizer in block.tokenizers:
                yield tokenizer.attention.register_forward_hook(self._keep)
            for projector in block.projectors or ():
                yield projector.token_softmax.register_forward_hook(self._keep)
            yield block.register_forward_hook(partial(self._finish, number))

    def _start(self, _stack: nn.Module, _args: tuple) -> None:
        """Forget what an earlier call left behind that failed."""
        self.outputs.clear()
        self.before.clear()

    def _keep(self, module: nn.Module, _args: tuple, output: Tensor) -> None:
        self.outputs[module] = output.detach()

    def _finish(self, layer: int, block: VisualTransformer, args: tuple, _output: tuple) -> None:
        """Append one `TokenMaps` per level after a block."""
        tokenizers: Any = block.tokenizers
        projectors: Any = block.projectors
        names = [token_names(*pair) for pair in zip(self.levels, block.num_tokens, strict=True)]
        if block.projector_reads == "all":
            names = [sum(names, ())] * len(names)
        for level, level_name in enumerate(self.levels):
            size = args[0][level].shape[-2:]
            attention = self.outputs.pop(tokenizers[level].attention).unflatten(-1, size)
            attention, origins = self._with_kept(level, layer, block.num_tokens[level], attention)
            self.before[level] = attention, origins
            reads = None
            if projectors is not None:
                reads = self.outputs.pop(projectors[level].token_softmax).unflatten(-1, size)
            read_names = () if reads is None else names[level]
            self.captured.append(
                TokenMaps(self.name, layer, level_name, attention, origins, reads, read_names)
            )

    def _with_kept(
        self, level: int, layer: int, num_tokens: int, new: Tensor
    ) -> tuple[Tensor, Origins]:
        """Put the tokens kept from the layer before in front of the ``new`` ones."""
        num_kept = num_tokens - new.shape[2]
        origins = tuple((layer, number) for number in range(num_kept + 1, num_tokens + 1))
        if not num_kept:
            return new, origins
        attention, earlier = self.before[level]
        kept = attention[:, :, -num_kept:]
        heads = max(kept.shape[1], new.shape[1])
        both = [x.expand(-1, heads, -1, -1, -1) for x in (kept, new)]
        return torch.cat(both, dim=2), earlier[-num_kept:] + origins


def _level_names(model: nn.Module, stack_name: str, num_levels: int) -> tuple[str, ...]:
    """Return the names that the module around a stack gives to its feature maps."""
    path = stack_name.split(".") if stack_name else []
    for length in range(len(path), -1, -1):
        module = model.get_submodule(".".join(path[:length]))
        if isinstance(module, VisualTransformerStage) and length:
            return (path[length - 1],)
        names = getattr(module, "in_features", None)
        if isinstance(names, list | tuple) and len(names) == num_levels:
            return tuple(names)
    return tuple(f"map{number}" for number in range(1, num_levels + 1))
