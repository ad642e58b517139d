"""Freezing parameters: all are trained, or those of the attention, the heads and the norms."""

import logging

from torch import nn

from vt_seg.layers import VTFPN, GraphConv, Projector, TokenAttention, Tokenizer
from vt_seg.modeling import NORM_LAYERS

logger = logging.getLogger(__name__)

TRAINABLE = ("all", "attention")

# Neither the positional encoding nor the convolution to the tokens' channels.
_TOKENIZER_ATTENTION = ("attention_filter", "query", "key", "value")


def freeze_all_but(trainable: str, model: nn.Module) -> None:
    """Freeze, in place, what ``SOLVER.TRAINABLE`` leaves out; log how much is trained.

    "attention" follows Touvron et al., "Three things everyone should know about Vision
    Transformers" (arXiv 2203.09795), Sec. 4. What stays trainable:

    * attention: the filter, query, key and value convolutions of tokenizers, token attention and
      projectors, the projectors' gain, and graph convolutions, which take attention's place;
    * head: what is neither backbone nor VT-FPN neck;
    * norms: scale and shift of every norm layer, in the backbone too.

    What was frozen before (``MODEL.BACKBONE.FREEZE_AT``) stays so; running statistics of batch
    norms follow the new data. Call it before the optimizer is built and DDP wraps the model.

    Raises:
        ValueError: if ``trainable`` is neither, or the model has no attention weights to train.
    """
    if trainable not in TRAINABLE:
        raise ValueError(f'SOLVER.TRAINABLE is "{trainable}": use one of {", ".join(TRAINABLE)}')
    details = ""
    if trainable == "attention":
        parts = _parts(model)
        chosen = {id(p) for part in parts.values() for p in part}
        for parameter in model.parameters():
            if id(parameter) not in chosen:
                parameter.requires_grad_(False)
        details = ": " + ", ".join(f"{name} {_count(part)}" for name, part in parts.items())
    parameters = list(model.parameters())
    trained = _count([p for p in parameters if p.requires_grad])
    of = f"{_count(parameters)} parameters (SOLVER.TRAINABLE {trainable})"
    logger.info(f"Training {trained} of {of}{details}")


def _parts(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters to train by part; each that is not frozen is in one part at most."""
    attention = [p for module in _attention_modules(model) for p in module.parameters()]
    norms = [p for m in model.modules() if isinstance(m, NORM_LAYERS) for p in m.parameters()]
    trunk = [m for n, m in model.named_modules() if n == "backbone" or isinstance(m, VTFPN)]
    in_trunk = {id(p) for module in trunk for p in module.parameters()}
    head = [p for p in model.parameters() if id(p) not in in_trunk]

    taken: set[int] = set()
    parts = {}
    for name, parameters in (("norms", norms), ("attention", attention), ("head", head)):
        free = {id(p): p for p in parameters if p.requires_grad and id(p) not in taken}
        taken.update(free)
        parts[name] = list(free.values())
    if not parts["attention"]:
        raise ValueError(
            f"SOLVER.TRAINABLE attention: {type(model).__name__} has no attention weights of "
            "Visual Transformers that could be trained (no VT-FPN or VT-ResNet in it, or "
            "MODEL.BACKBONE.FREEZE_AT freezes them). Use such a model, or SOLVER.TRAINABLE all"
        )
    return {name: parts[name] for name in ("attention", "head", "norms")}


def _attention_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules all of whose parameters are attention weights."""
    found: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, Projector | TokenAttention | GraphConv):
            found.append(module)
        elif isinstance(module, Tokenizer):
            found += [m for name, m in module.named_children() if name in _TOKENIZER_ATTENTION]
    return found


def _count(parameters: list[nn.Parameter]) -> str:
    """Return the number of elements, in millions."""
    return f"{sum(p.numel() for p in parameters) / 1e6:.2f} M"
