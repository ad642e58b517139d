"""A segmentor as one function of tensors, and its graph for batches and images of any size."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config
from torch.nn import functional as F

from vt_seg.inference import fold_norms
from vt_seg.modeling import upsample

from .label_maps import label_maps

OUTPUTS = ("labels", "logits")
symbolic_shapes: Any = _config
MIN_SIDE = 64
"""The smallest side of an image in pixels: two cells of the coarsest map."""


class ExportableSegmentor(nn.Module):
    """uint8 images ``(N, C, H, W)`` in, label maps or logits of their size out.

    Colours are RGB, whatever the model was trained with. Normalising, the order of channels and
    padding are inside. Batch norms are folded and the head reordered (`fold_norms`).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, input_format: str, output: str = "labels") -> None:
        """Take over a segmentor.

        Args:
            model: what :func:`vt_seg.inference.optimize` takes.
            input_format: ``INPUT.FORMAT`` of the model; where it is "BGR", channels are reversed.
            output: "labels", ``(N, H, W)`` int64, or "logits", ``(N, num_classes, H, W)``.

        Raises:
            ValueError: if ``output`` is neither, or ``optimize`` does not take the model.
        """
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f'the output "{output}" is unknown: use "labels" or "logits"')
        segmentor = fold_norms(model)
        self.backbone, self.head = segmentor.backbone, segmentor.sem_seg_head
        self.register_buffer("mean", segmentor.pixel_mean.detach()[None])
        self.register_buffer("std", segmentor.pixel_std.detach()[None])
        self.reverses_channels = input_format == "BGR"
        self.temperature = getattr(segmentor, "temperature", 1.0)  # labels do not depend on it
        self.output = output
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Predict label maps ``(N, H, W)`` or logits ``(N, num_classes, H, W)``."""
        height, width = images.shape[-2:]
        x = (images.flip(1) if self.reverses_channels else images).float()
        x = (x - self.mean) / self.std
        divisor = self.backbone.size_divisibility
        if divisor > 1:
            x = F.pad(x, (0, (divisor - width % divisor) % divisor,
                          0, (divisor - height % divisor) % divisor))  # fmt: skip
        logits = self.head(dict(self.backbone(x)))
        if self.output == "logits":
            logits = logits if self.temperature == 1 else logits / self.temperature
            return upsample(logits, self.head.common_stride, (height, width))
        return label_maps(logits, self.head.common_stride, (height, width))


@torch.no_grad()
def export_program(model: ExportableSegmentor) -> ExportedProgram:
    """Return the graph of a model, for any batch and any sides of at least ``MIN_SIDE`` pixels.

    Raises:
        ValueError: if a layer computes something else at other sizes, or cannot be traced.
    """
    images = torch.zeros(2, model.mean.shape[1], MIN_SIDE + 67, MIN_SIDE + 101, dtype=torch.uint8)
    sides = {2: Dim("height", min=MIN_SIDE), 3: Dim("width", min=MIN_SIDE)}
    try:
        # Otherwise PyTorch's choices of memory layouts would bind the graph to sizes like these.
        with symbolic_shapes.patch(backed_size_oblivious=True):
            program = torch.export.export(
                model,
                (images.to(model.mean.device),),
                dynamic_shapes={"images": {0: Dim("batch"), **sides}},
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except (RuntimeError, ValueError, torch._dynamo.exc.UserError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{type(model.backbone).__name__} cannot be exported for images of any size: {reason}"
        ) from error
    _allow_single_images(program)
    return program


def _allow_single_images(program: ExportedProgram) -> None:
    """Remove the assertions on the batch alone.

    PyTorch's broadcasting asserts that the batch is not 1, as in the example, since strides would
    be others. Results are not, which :func:`check_parity` confirms with one image.
    """
    graph = program.graph
    images = next(node for node in graph.nodes if node.name == "images")
    batch = images.meta["val"].shape[0].node.expr
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            condition = node.args[0].meta["val"]
            if condition.node.expr.free_symbols == {batch}:
                graph.erase_node(node)
    program.graph_module.recompile()
