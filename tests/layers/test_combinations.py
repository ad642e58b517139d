"""Every combination of the parts either trains, or is refused with the reason."""

from itertools import product

import pytest
import torch

from tests.layers.blocks import FIRST_KINDS, NORMS, neck, random_maps, stack
from tests.layers.conftest import randomised
from vt_seg.layers import MIXERS, VTFPN

SWITCHES = ("recurrent", "projector", "positional_encoding")
# What is built: (number of layers, whether tokens alone are wanted).
BUILT = [(1, False), (2, False), (1, True), (2, True)]

NOTHING_CHANGES = "projector=False would change nothing"
REACHES_NOTHING = "the tokens of all layers but the last would reach nothing"


def build(num_layers, tokens_only, norm=None, **options):
    """Build a neck on two levels of unlike sizes, or a stack on one level that gives its tokens."""
    if tokens_only:
        return stack(num_layers, norm, num_levels=1, tokens_only=True, **options)
    return neck((5, 8), norm, num_layers=num_layers, **options)


def loss_of(module):
    """Compute the loss of the neck's maps or the tokens, on the same inputs at each call."""
    torch.manual_seed(1)
    first, second = random_maps()
    of_neck = isinstance(module, VTFPN)
    outputs = module([first[:, :5], second]) if of_neck else module([first])[1]
    return sum((y - torch.randn_like(y)).square().mean() for y in outputs)


def refusal(num_layers, tokens_only, recurrent, projector):
    """Return why a combination makes no sense: tokens or a switch without effect."""
    if num_layers == 2 and not recurrent and not projector:
        return REACHES_NOTHING
    if num_layers == 1 and not tokens_only and not projector:
        return NOTHING_CHANGES
    return None


def without_gradient(module):
    """Return the parameters whose gradient is rounding, at most: others are above 1e-9 here."""
    return {
        name
        for name, p in module.named_parameters()
        if p.grad is None or p.grad.abs().max() < 1e-12
    }


def gain_of_one_step(module):
    """Take a small step of SGD that changes every parameter; return by how much it lowers the loss,
    relative to what the gradients promise."""
    loss = loss_of(module)
    loss.backward()
    assert without_gradient(module) == set()
    squares = sum(p.grad.square().sum() for p in module.parameters())
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    promised = 1e-5 * loss.item()
    torch.optim.SGD(module.parameters(), lr=promised / squares.item()).step()
    assert not [name for name, p in module.named_parameters() if torch.equal(p, before[name])]
    with torch.no_grad():
        return (loss.item() - loss_of(module).item()) / promised


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize(("tokenizer", "revision"), FIRST_KINDS)
def test_every_combination_trains_or_is_refused_with_the_reason(tokenizer, mixer, revision):
    trained = 0
    for values, built in product(product((True, False), repeat=len(SWITCHES)), BUILT):
        switches = dict(zip(SWITCHES, values, strict=True))
        options = {"tokenizer": tokenizer, "mixer": mixer, "revision": revision, **switches}
        reason = refusal(*built, switches["recurrent"], switches["projector"])
        if reason is not None:
            with pytest.raises(ValueError, match=reason):
                build(*built, **options)
            continue
        gain = gain_of_one_step(randomised(build(*built, **options), std=0.3))
        if tokenizer == "clustering":  # whose centroids move, too, and take no part in gradients
            assert 0.5 < gain < 2
        else:
            assert gain == pytest.approx(1, rel=0.01)
        trained += 1
    assert trained == 24  # of 32: 4 would change nothing, 2 + 2 reach nothing


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize(("tokenizer", "revision"), FIRST_KINDS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("encoding", [True, False])
def test_all_weights_of_a_fresh_neck_get_gradients_within_a_few_steps(
    tokenizer, mixer, revision, norm, encoding
):
    """Branches that start at zero hold one another back for a step or two, not for ever."""
    options = {"tokenizer": tokenizer, "mixer": mixer, "revision": revision}
    module = build(2, False, norm, positional_encoding=encoding, **options).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3)
    loss_of(module).backward()
    assert len(without_gradient(module)) > len(list(module.parameters())) / 2
    for _ in range(5):
        optimizer.step()
        optimizer.zero_grad()
        loss_of(module).backward()
    left = without_gradient(module)
    assert left == set() if norm is None else all(name.endswith("norm.bias") for name in left)
