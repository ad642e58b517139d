"""Gradients of every module with every norm, in training mode and every memory layout.

Autograd is compared with numerical differences in float64. Memory layouts matter: kernels choose by
the strides of the input and of the incoming gradient, and one of them has been wrong.
"""

from collections.abc import Callable

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d, NaiveSyncBatchNorm
from detectron2.layers.batch_norm import LayerNorm
from torch import Tensor, nn

from tests.layers.blocks import KINDS, REVISIONS, block, neck, random_maps, small, stack
from tests.layers.conftest import randomised
from tests.layers.numerical_gradients import largest_gradient_error
from vt_seg.layers import (
    MIXERS,
    PositionEncoder,
    Projector,
    TokenConv,
    TokenMixer,
)

TOLERANCE = 1e-8
NORMS = {
    "none": None,
    "BN": nn.BatchNorm2d,
    "naiveSyncBN": NaiveSyncBatchNorm,  # what stands for SyncBN on CPUs
    "GN": lambda channels: nn.GroupNorm(2, channels),
    "LN": LayerNorm,
    "FrozenBN": FrozenBatchNorm2d,
}


def channels_last(x: Tensor) -> Tensor:
    """Return the same values, the channels of a pixel or token side by side in memory."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def expanded(x: Tensor) -> Tensor:
    """Return values that all channels share, as the gradient of a sum over channels has them."""
    return x[:, :1].expand(x.shape)


LAYOUTS = {  # of the inputs and of the incoming gradients
    "contiguous": (torch.Tensor.contiguous, torch.Tensor.contiguous),
    "channels_last_inputs": (channels_last, torch.Tensor.contiguous),
    "channels_last_gradients": (torch.Tensor.contiguous, channels_last),
    "expanded_gradients": (channels_last, expanded),
}


def worst_error(
    module: nn.Module, *inputs: list[Tensor] | Tensor, mask: Tensor | None = None, layout: str
) -> float:
    """Return the largest relative error over the gradients of inputs and parameters.

    Args:
        module: called with the inputs, each a list of tensors or a tensor, and the mask if any.
        inputs: maps ``(N, C, H, W)`` and tokens ``(N, C, L)``.
        mask: passed as ``mask`` if given.
        layout: a key of `LAYOUTS`.
    """
    for buffer in module.buffers():  # statistics of a FrozenBN
        if buffer.dtype.is_floating_point:
            buffer.uniform_(0.5, 1.5)
    for part in list(module.modules()):  # differences across the kink of a ReLU are no derivative
        for name, child in part.named_children():
            if isinstance(child, nn.ReLU):
                setattr(part, name, nn.Softplus())
    of_inputs, of_gradients = LAYOUTS[layout]

    def leaf(x: Tensor) -> Tensor:
        return of_inputs(x).detach().requires_grad_()

    arguments = [[leaf(x) for x in one] if isinstance(one, list) else leaf(one) for one in inputs]
    named = {"mask": mask} if mask is not None else {}

    def outputs() -> list[Tensor]:
        return _flat(module(*arguments, **named))

    with torch.no_grad():
        incoming = [of_gradients(torch.randn_like(output)) for output in outputs()]
    leaves = {f"input {i}": x for i, x in enumerate(_flat(arguments))}
    leaves |= {name: p for name, p in module.named_parameters() if p.requires_grad}
    return largest_gradient_error(outputs, leaves, incoming)


def _flat(values) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [tensor for value in values for tensor in _flat(value)]


def hold_centroids(module: nn.Module) -> None:
    """Compute the clusters once: no gradient passes through them, but numerical changes would."""
    for part in module.modules():
        if hasattr(part, "centroids"):
            compute, held = part.centroids, []

            def centroids(x, mask=None, compute=compute, held=held):
                if not held:
                    held.append(compute(x, mask))
                return held[0]

            part.centroids = centroids


def tokens(number: int = 5, channels: int = 8) -> Tensor:
    return torch.randn(3, channels, number, dtype=torch.float64)


class Partial(nn.Module):
    """A module of which one output is wanted, or that takes further arguments."""

    def __init__(self, module: nn.Module, call: Callable) -> None:
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *inputs) -> Tensor | list[Tensor]:
        return self.call(self.module, *inputs)


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture(params=NORMS)
def norm(request):
    return NORMS[request.param]


@pytest.mark.parametrize("groups", [1, 2])
def test_token_convolution(norm, layout, groups):
    conv = randomised(TokenConv(8, 6, norm, groups=groups))
    assert worst_error(conv, tokens(), layout=layout) < TOLERANCE


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("revision", REVISIONS)
def test_token_mixer(norm, layout, mixer, revision):
    module = TokenMixer(5, small(mixer=mixer, parallel_mixers=2, revision=revision), norm)
    assert worst_error(randomised(module), tokens(), layout=layout) < TOLERANCE


@pytest.mark.parametrize("heads", [1, 2])
def test_positional_encoding(layout, heads):
    encoder = randomised(PositionEncoder(heads, 4, 1))
    module = Partial(encoder, lambda encoder, attention: encoder(attention, (5, 7), None))
    attention = torch.rand(3, heads, 5, 35, dtype=torch.float64)
    assert worst_error(module, attention, layout=layout) < TOLERANCE


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("token_channels", [8, 12])
@pytest.mark.parametrize("size", [(3, 5), (5, 1), (1, 5), (1, 1)])
def test_projector(norm, layout, revision, token_channels, size):
    config = small(token_channels=token_channels, revision=revision)
    (x,) = random_maps([size], 3)
    written = tokens(channels=token_channels)
    module = randomised(Projector(8, config, norm))
    assert worst_error(module, x, written, layout=layout) < TOLERANCE


@pytest.mark.parametrize(("tokenizer", "revision"), KINDS)
def test_block(norm, layout, tokenizer, revision):
    vt = randomised(block(tokenizer, revision, norm, token_channels=12))
    mask = None
    if layout == "channels_last_inputs":
        mask = torch.ones(3, 1, 4, 3)
        mask[1, :, 2:] = 0
    hold_centroids(vt)
    earlier = [[tokens(4, 12)]] if tokenizer == "recurrent" else []
    maps = random_maps([(4, 3)], 3)
    assert worst_error(vt, maps, *earlier, mask=mask, layout=layout) < TOLERANCE


NECKS = {  # tokenizer of the first layer, what projectors read, sizes of the maps
    "contiguous": ("filter", "own", ((5, 3), (3, 2))),
    "channels_last_inputs": ("filter", "all", ((4, 1), (2, 1))),
    "channels_last_gradients": ("clustering", "own", ((1, 4), (1, 1))),
    "expanded_gradients": ("pooling", "all", ((4, 3), (2, 1))),
}


@pytest.mark.parametrize("revision", REVISIONS)
def test_vt_fpn(norm, layout, revision):
    """Two layers, the second of which is recurrent; maps as narrow as one pixel, too."""
    tokenizer, reads, sizes = NECKS[layout]
    changes = {"tokenizer": tokenizer, "projector_reads": reads, "revision": revision}
    module = neck((5, 6), norm, num_layers=2, **changes)
    hold_centroids(module)
    features = random_maps(sizes, 3, (5, 6))
    assert worst_error(randomised(module, 0.3), features, layout=layout) < TOLERANCE


def test_vt_fpn_with_a_top_down_path_and_output_convolutions(norm, layout):
    module = neck((5, 6), norm, top_down=True, output_conv="depthwise")
    features = random_maps(((5, 3), (3, 2)), 3, (5, 6))
    assert worst_error(randomised(module, 0.3), features, layout=layout) < TOLERANCE


@pytest.mark.parametrize("revision", REVISIONS)
def test_stack_of_a_classifier(norm, layout, revision):
    """What follows stage 4 of a VT-ResNet: the tokens of the last layer are the output."""
    vt = stack(2, norm, num_levels=1, tokens_only=True, revision=revision, token_groups=1)
    module = Partial(randomised(vt, 0.3), lambda stack, maps: stack(maps)[1])
    assert worst_error(module, random_maps([(4, 5)], 3), layout=layout) < TOLERANCE


@pytest.mark.xfail(
    strict=True,
    reason="PyTorch's batch norm gives wrong gradients on the CPU for (N, C, L, 1) views of "
    "channels-last tokens (2.7.1 to 2.14.1). If this test passes, PyTorch has fixed that: remove "
    "it, and the care that `normalise_tokens` takes once older versions are not supported",
)
def test_gradients_of_pytorchs_batch_norm_on_maps_of_width_1():
    """The error of PyTorch that `vt_seg.layers.token_conv.normalise_tokens` avoids."""
    norm = nn.BatchNorm2d(6).double()
    x = torch.randn(3, 5, 6, dtype=torch.float64).transpose(1, 2).unsqueeze(-1).requires_grad_()
    incoming = torch.randn(3, 6, 5, 1, dtype=torch.float64)
    leaves = {"x": x, **dict(norm.named_parameters())}
    assert largest_gradient_error(lambda: [norm(x)], leaves, [incoming]) < TOLERANCE
