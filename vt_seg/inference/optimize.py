"""``optimize``: a faster copy of a semantic segmentor, for evaluation only."""

import copy
from collections import Counter
from typing import Any

import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from detectron2.layers.batch_norm import NaiveSyncBatchNorm
from detectron2.modeling import SemanticSegmentor
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d as TorchvisionFrozenBatchNorm2d

from vt_seg.layers import VTFPN
from vt_seg.modeling import (
    PaddingAwareSegmentor,
    UnwarpingSemanticSegmentor,
    unwrapped,
)

from .head import HEADS, OptimizedHead
from .neck import OptimizedVTFPN
from .segmentor import OptimizedSegmentor

SEGMENTORS = (PaddingAwareSegmentor, UnwarpingSemanticSegmentor, SemanticSegmentor)
BATCH_NORMS = (
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    NaiveSyncBatchNorm,
    FrozenBatchNorm2d,
    TorchvisionFrozenBatchNorm2d,
)
# A module of one of these types computes what its name says; a subclass may compute anything.


def optimize(model: nn.Module) -> OptimizedSegmentor:
    """Return a faster copy of a semantic segmentor, for evaluation only.

    Batch norms are folded into the convolutions before them, in the whole model; head and neck are
    replaced by twins that need fewer passes over large maps; on a CPU maps are channels-last.
    Weights that do not change are shared, so optimize again after the model was trained further.
    The model itself stays as it is.

    Args:
        model: a ``SemanticSegmentor``, ``PaddingAwareSegmentor`` or ``UnwarpingSemanticSegmentor``
            with a ``VTFPNHead``, ``SemSegFPNHead`` or ``SemSegFPNLossHead``, on any backbone.

    Returns:
        a segmentor with the same predictions, which also has ``predict_labels``.

    Raises:
        ValueError: if the model is none of these, or holds hooks, patches or replaced modules,
            which the copy would pass over. The message names the module.
    """
    segmentor = fold_norms(model)
    for module in list(segmentor.modules()):
        for name, child in module.named_children():
            if type(child) is VTFPN:
                setattr(module, name, OptimizedVTFPN(child))
    if segmentor.device.type == "cpu":  # its convolutions of large maps are faster so, by a factor
        segmentor.to(memory_format=torch.channels_last)
    return OptimizedSegmentor(segmentor)


def fold_norms(model: nn.Module) -> SemanticSegmentor:
    """Return a copy with batch norms folded and the head reordered, the first half of `optimize`.

    The neck keeps its plain formulas, which can be exported. Arguments and errors are those of
    :func:`optimize`.
    """
    model = unwrapped(model)
    _check(model)
    segmentor = _copy_with_shared_weights(model).eval()
    with torch.no_grad():
        _fold_batch_norms(segmentor)
    head = segmentor.sem_seg_head
    segmentor.sem_seg_head = OptimizedHead(head, getattr(head, "neck", None))
    return segmentor


def _check(model: Any) -> None:
    """Raise ValueError if ``optimize`` could change what the model computes."""
    if type(model) not in SEGMENTORS:
        raise ValueError(
            f"optimize() takes semantic segmentors ({_names(SEGMENTORS)}), not "
            f"{type(model).__name__}"
        )
    head = model.sem_seg_head
    if type(head) not in HEADS:
        raise ValueError(f"optimize() knows the heads {_names(HEADS)}, not {type(head).__name__}")
    for name, module in model.named_modules():
        hooks = (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
        if any(hooks):
            raise ValueError(f"{name or 'the model'} has hooks, which optimize() would pass over")
        if "forward" in vars(module):
            raise ValueError(f"{name or 'the model'} has a patched forward, unknown to optimize()")
    known = [("predictor", head.predictor)]
    for name, scale_head in zip(head.in_features, head.scale_heads, strict=True):
        layers = [(f"{name}.{key}", layer) for key, layer in scale_head.named_children()]
        known += [layer for layer in layers if type(layer[1]) is not nn.Upsample]
    for name, module in known:
        if type(module) is not Conv2d:
            raise ValueError(
                f"sem_seg_head.{name} is a {type(module).__name__}; optimize() knows Detectron2's "
                "Conv2d there"
            )
    predictor = head.predictor
    shape = (predictor.kernel_size, predictor.stride, predictor.padding, predictor.groups)
    if shape != ((1, 1), (1, 1), (0, 0), 1) or predictor.norm or predictor.activation:
        raise ValueError("sem_seg_head.predictor is more than a 1x1 convolution")


def _names(types: tuple[type, ...]) -> str:
    return ", ".join(one.__name__ for one in types)


def _copy_with_shared_weights(model: nn.Module) -> Any:
    """Copy the modules; parameters and buffers are new tensors on the old memory."""
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach()
    return copy.deepcopy(model, memo)


def _fold_batch_norms(model: nn.Module) -> None:
    """Fold the norms of Detectron2's ``Conv2d`` and of the neck's laterals and output convolutions.

    Other norms stay: that one is registered behind a convolution does not say that it is applied to
    the convolution's output.
    """
    uses = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    module: Any
    for module in model.modules():
        if type(module) is Conv2d:
            if type(module.norm) in BATCH_NORMS and _fold(module, module.norm):
                module.norm = None
            if module.activation is F.relu:
                module.activation = F.relu_
        elif type(module) is VTFPN:
            layer: Any
            for layer in (*module.laterals, *module.output_convs):
                if type(layer) is not nn.Sequential or len(layer) != 2:
                    continue
                conv, norm = layer
                is_plain = type(conv) is nn.Conv2d and uses[id(conv)] == uses[id(module)]
                if is_plain and type(norm) in BATCH_NORMS and _fold(conv, norm):
                    layer[1] = nn.Identity()


def _fold(conv: Any, norm: Any) -> bool:
    """Move a norm's scale and shift into its convolution; return False if it has no statistics."""
    if norm.running_mean is None:
        return False
    dtype = conv.weight.dtype
    exact = torch.promote_types(dtype, torch.float32)  # half precision is rounded once
    tensors = (conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    values: list[Any] = [None if x is None else x.to(exact) for x in tensors]
    weight, bias, mean, var, scale, shift = values
    fused = fuse_conv_bn_weights(weight, bias, mean, var, norm.eps, scale, shift)
    conv.weight, conv.bias = (nn.Parameter(x.to(dtype), requires_grad=False) for x in fused)
    return True
