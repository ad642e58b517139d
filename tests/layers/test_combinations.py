"""Every combination of the parts either trains, or is refused with the reason."""

from itertools import product

import pytest
import torch
from torch import nn

from tests.layers.blocks import SMALL, random_maps, stack
from tests.layers.conftest import randomised
from vt_seg.layers import VTFPN
from vt_seg.layers.token_mixer import MIXERS

FIRST = ("filter", "pooling", "clustering")
SWITCHES = ("recurrent", "projector", "position_code")
# What is built: (number of layers, whether tokens alone are wanted).
NECKS, CLASSIFIERS = [(1, False), (2, False)], [(1, True), (2, True)]

NOTHING_CHANGES = "projector=False would change nothing"
REACHES_NOTHING = "the tokens of all layers but the last would reach nothing"
ASKS_WITH_TOKENS = "'recurrent' cannot be the first"


def build(num_layers, tokens_only, **options):
    """A neck on two levels of unlike sizes, or a stack on one level that gives its tokens."""
    if tokens_only:
        return stack(num_layers, num_levels=1, tokens_only=True, **options)
    return VTFPN((5, 8), 8, num_layers=num_layers, **SMALL, **options)


def outputs(module):
    """The tokens or the neck's maps, on inputs that are the same at each call."""
    torch.manual_seed(1)
    first, second = random_maps()
    if isinstance(module, VTFPN):
        return module([first[:, :5], second])
    return module([first])[1]


def loss_of(module):
    torch.manual_seed(2)
    return sum((y - torch.randn_like(y)).square().mean() for y in outputs(module))


def combinations():
    """All settings of the switches, for all that can be built."""
    for values in product((True, False), repeat=len(SWITCHES)):
        for built in NECKS + CLASSIFIERS:
            yield built, dict(zip(SWITCHES, values, strict=True))


def paths(num_layers, tokens_only, recurrent, projector):
    """What feeds what: map i is what layer i sees, tokens i are what it makes."""
    found = set()
    for i in range(num_layers):
        found |= {(("map", i), ("tokens", i)), (("map", i), ("map", i + 1))}
        if recurrent and i > 0:
            found.add((("tokens", i - 1), ("tokens", i)))
        # The last layer writes back where maps are wanted: no other way leads to them.
        if (not tokens_only) if i + 1 == num_layers else projector:
            found.add((("tokens", i), ("map", i + 1)))
    return found


def refusal(num_layers, tokens_only, recurrent, projector):
    """Why a combination makes no sense: tokens that reach nothing, a switch without effect."""
    found = paths(num_layers, tokens_only, recurrent, projector)
    reached = {("tokens", num_layers - 1) if tokens_only else ("map", num_layers)}
    for _ in found:
        reached |= {start for start, end in found if end in reached}
    if any(("tokens", i) not in reached for i in range(num_layers)):
        return REACHES_NOTHING
    writes = any(start[0] == "tokens" and end[0] == "map" for start, end in found)
    if not projector and writes and found == paths(num_layers, tokens_only, recurrent, True):
        return NOTHING_CHANGES
    return None


def without_gradient(module):
    """Names of the parameters whose gradient is rounding, at most: others are above 1e-9 here."""
    return {
        name
        for name, p in module.named_parameters()
        if p.grad is None or p.grad.abs().max() < 1e-12
    }


@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("tokenizer", FIRST)
def test_every_combination_trains_or_says_why_not(tokenizer, mixer, revision):
    trained = 0
    for built, switches in combinations():
        options = {"tokenizer": tokenizer, "mixer": mixer, "revision": revision, **switches}
        reason = refusal(*built, switches["recurrent"], switches["projector"])
        if reason is not None:
            with pytest.raises(ValueError, match=reason):
                build(*built, **options)
            continue
        module = randomised(build(*built, **options), std=0.3)
        gain = trains_one_step(module)
        if tokenizer == "clustering":  # whose centroids move, too, and take no part in gradients
            assert 0.5 < gain < 2
        else:
            assert gain == pytest.approx(1, rel=0.01)
        trained += 1
    assert trained == 24  # of 32: 4 would change nothing, 2 + 2 reach nothing


def trains_one_step(module):
    """A small step of SGD that leaves no parameter out; how much it lowers the loss, as a share of
    what the gradients promise."""
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


@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("tokenizer", FIRST)
@pytest.mark.parametrize(("parallel", "position_code"), [(1, True), (1, False), (2, True)])
def test_with_batch_norm_every_weight_gets_a_gradient(
    tokenizer, mixer, revision, parallel, position_code
):
    """All but shifts: what a batch norm adds to all tokens, the next one takes away."""
    for built in (NECKS[1], CLASSIFIERS[1]):
        module = build(
            *built,
            tokenizer=tokenizer,
            mixer=mixer,
            revision=revision,
            parallel_mixers=parallel,
            position_code=position_code,
            norm=nn.BatchNorm2d,
        )
        module = randomised(module, std=0.3)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
        loss_of(module).backward()
        shifts = {name for name, _ in module.named_parameters() if name.endswith("norm.bias")}
        assert without_gradient(module) <= shifts


@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("tokenizer", FIRST)
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("position_code", [True, False])
def test_a_fresh_neck_wakes_up_within_a_few_steps(tokenizer, mixer, revision, norm, position_code):
    """Branches that start at zero hold one another back for a step or two, not for ever."""
    parts = {"tokenizer": tokenizer, "mixer": mixer, "revision": revision}
    neck = build(2, False, **parts, norm=norm, position_code=position_code).double()
    optimizer = torch.optim.SGD(neck.parameters(), lr=0.3)
    loss_of(neck).backward()
    assert len(without_gradient(neck)) > len(list(neck.parameters())) / 2
    for _ in range(5):
        optimizer.step()
        optimizer.zero_grad()
        loss_of(neck).backward()
    left = without_gradient(neck)
    assert left == set() if norm is None else all(name.endswith("norm.bias") for name in left)


@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_a_recurrent_tokenizer_cannot_be_the_first_in_any_combination(revision):
    for mixer in MIXERS:
        for built, switches in combinations():
            with pytest.raises(ValueError, match=ASKS_WITH_TOKENS):
                build(*built, tokenizer="recurrent", mixer=mixer, revision=revision, **switches)
