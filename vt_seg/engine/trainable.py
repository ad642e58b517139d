"""Which parameters are trained: all, or those of the attention, the heads and the norms."""

import logging

from torch import nn

from vt_seg.layers import VTFPN, GraphConv, Projector, TokenAttention, Tokenizer
from vt_seg.modeling import NORM_LAYERS

logger = logging.getLogger(__name__)

TRAINABLE = ("all", "attention")

# Not its position encoder, nor the convolution to the tokens' channels.
_TOKENIZER_ATTENTION = ("attention_filter", "query", "key", "value")


def freeze_all_but(trainable: str, model: nn.Module) -> None:
    """Freeze, in place, what ``SOLVER.TRAINABLE`` leaves out; log how much is trained.

    "attention" is Touvron et al., "Three things everyone should know about Vision Transformers"
    (arXiv 2203.09795), Sec. 4, for Visual Transformers. What stays trainable:

    * attention: the filter, query, key and value convolutions of the tokenizers, of the token
      attention and of the projectors, and the projectors' gain. A graph convolution, which relates
      tokens in place of attention, counts as such;
    * head: what is neither backbone nor VT-FPN neck;
    * norms: scale and shift of every norm layer, of the backbone's too.

    Frozen are the backbone's convolutions, laterals, feed-forward layers, position encoders and the
    convolutions to the tokens' channels. What was frozen before (``MODEL.BACKBONE.FREEZE_AT``)
    stays so. The running statistics of batch norms are no parameters: they follow the new data, as
    in any training, also in front of frozen convolutions; FrozenBN has none that do.

    Call it before the optimizer is built and the model is wrapped for parallel training: neither
    then knows of the frozen parameters, which weight decay leaves alone, too.

    Args:
        trainable: "all" or "attention".
        model: any of Detectron2's, with a ``backbone``.

    Raises:
        ValueError: another name, or a model without attention weights to train.
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
    logger.info(
        "Training %s of %s parameters (SOLVER.TRAINABLE %s)%s",
        _count([p for p in parameters if p.requires_grad]),
        _count(parameters),
        trainable,
        details,
    )


def _parts(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters to train by part; each that is not frozen already is in one part at most."""
    attention = [p for module in _attention_modules(model) for p in module.parameters()]
    norms = [p for m in model.modules() if isinstance(m, NORM_LAYERS) for p in m.parameters()]
    trunk = [m for m in model.modules() if isinstance(m, VTFPN)]
    trunk += [model.backbone] if hasattr(model, "backbone") else []
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
    """The modules all of whose parameters are attention weights."""
    found: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, Projector | TokenAttention | GraphConv):
            found.append(module)
        elif isinstance(module, Tokenizer):
            found += [getattr(module, name, None) for name in _TOKENIZER_ATTENTION]
    return [module for module in found if module is not None]


def _count(parameters: list[nn.Parameter]) -> str:
    """Number of elements, in millions."""
    return f"{sum(p.numel() for p in parameters) / 1e6:.2f} M"
