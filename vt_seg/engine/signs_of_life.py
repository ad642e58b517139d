"""What the visual tokens do in training: how much they add to the maps, how sharply they look."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vt_seg.layers import VTFPN, VisualTransformerStack
from vt_seg.modeling import VisualTransformerStage

logger = logging.getLogger(__name__)

ADDED, ATTENDED = "added_norm", "attended_share"
ASLEEP = 0.01
"""Projectors that all add less than this share of a map's norm are reported after training."""


class SignsOfLife(HookBase):
    """Log, for each level, how much the projector adds and how sharply the tokens look.

    Two scalars per level go to the event storage, so to TensorBoard and ``metrics.json``:

    - ``vt/res2/added_norm``: norm of what the projector adds, over the norm of the map that it adds
      it to. 0 is a branch that does nothing.
    - ``vt/res2/attended_share``: effective share of the pixels that a token averages,
      ``1 / (H W sum(A^2))``, mean over images, heads and tokens. 1 is a uniform average, ``1 / HW``
      a single pixel.

    The levels are those of the neck; ``stage5`` is that of a VT-ResNet. With several layers the
    names are ``vt/res2/layer1/added_norm``, ... They are measured in the main process, on its
    images alone, by forward hooks that are there for the measured iterations only.
    """

    def __init__(self, model: nn.Module, period: int = 20) -> None:
        """Find the Visual Transformers of a model; without any, nothing is measured.

        ``period`` are iterations between measurements; 20 is that of Detectron2's writers.
        """
        self._parts = list(_named_parts(model))
        self._period = period
        self._handles: list[RemovableHandle] = []
        self._seen: dict[str, list[Tensor]] = defaultdict(list)
        self._last: dict[str, float] = {}

    def before_step(self) -> None:
        """Listen to the iterations whose scalars are written, and to the last one."""
        number = self.trainer.iter + 1
        if number % self._period and number != self.trainer.max_iter:
            return
        for name, tokenizer, projector in self._parts:
            self._listen_to_attention(f"{name}/{ATTENDED}", tokenizer.attention)
            if projector is not None:
                self._listen_to_projector(f"{name}/{ADDED}", projector)

    def _listen_to_attention(self, name: str, module: nn.Module) -> None:
        def attended(_module: nn.Module, _args: object, attention: Tensor) -> None:
            squares = attention.detach().float().square().sum(-1)
            self._seen[name].append((1 / (attention.shape[-1] * squares)).mean())

        self._handles.append(module.register_forward_hook(attended))

    def _listen_to_projector(self, name: str, projector: Any) -> None:
        norms: list[Tensor] = []

        def of_map(_module: nn.Module, args: tuple[Tensor, Tensor]) -> None:
            norms.append(args[0].detach().float().norm())

        def of_branch(_module: nn.Module, args: tuple[Tensor]) -> None:
            self._seen[name].append(args[0].detach().float().norm() / norms.pop())

        self._handles.append(projector.register_forward_pre_hook(of_map))
        self._handles.append(projector.drop_path.register_forward_pre_hook(of_branch))

    def after_step(self) -> None:
        """Put what was seen into the event storage, and stop listening."""
        self._stop_listening()
        if self._seen:
            self._last = {
                name: sum(value.item() for value in values) / len(values)
                for name, values in self._seen.items()
            }
            self._seen.clear()
            self.trainer.storage.put_scalars(smoothing_hint=False, **self._last)

    def after_train(self) -> None:
        """Log the last values, with a warning if all projectors are asleep."""
        self._stop_listening()  # an error may have ended the iteration
        if not self._last:
            return
        logger.info("Visual tokens at the end: %s.", describe_signs(self._last))
        added = [value for name, value in self._last.items() if name.endswith(ADDED)]
        is_whole = self.trainer.iter >= self.trainer.max_iter
        if is_whole and added and max(added) < ASLEEP:
            logger.warning(
                "The visual tokens are asleep: every projector adds less than %g %% of its map's "
                "norm, so that the model is little more than one without tokens. Train longer or "
                "with a larger SOLVER.BASE_LR, or try ZERO_INIT projector or none in MODEL.VT_FPN "
                "(MODEL.VT_RESNET).",
                100 * ASLEEP,
            )

    def _stop_listening(self) -> None:
        while self._handles:
            self._handles.pop().remove()


def describe_signs(values: dict[str, float]) -> str:
    """Return scalars of :class:`SignsOfLife` in words, level by level."""
    words = {ADDED: "projector adds {:.2g} %", ATTENDED: "tokens attend to {:.2g} % of the pixels"}
    levels: dict[str, list[str]] = defaultdict(list)
    for name, value in sorted(values.items()):
        level, _, sign = name.removeprefix("vt/").rpartition("/")
        levels[level].append(words[sign].format(100 * value))
    return "; ".join(f"{level}: {', '.join(signs)}" for level, signs in levels.items())


def _named_parts(model: nn.Module) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, tokenizer and projector (or None) of each level and layer."""
    block: Any
    module: Any
    stacks: list[tuple[Sequence[str], VisualTransformerStack]] = []
    for module in model.modules():
        if isinstance(module, VisualTransformerStage):
            stacks.append((("stage5",), module.stack))
        elif isinstance(getattr(module, "neck", None), VTFPN):
            stacks.append((module.in_features, module.neck.stack))
    for levels, stack in stacks:
        for number, block in enumerate(stack.blocks, start=1):
            layer = f"/layer{number}" if len(stack.blocks) > 1 else ""
            projectors = block.projectors or [None] * len(levels)
            for level, *parts in zip(levels, block.tokenizers, projectors, strict=True):
                yield (f"vt/{level}{layer}", *parts)
