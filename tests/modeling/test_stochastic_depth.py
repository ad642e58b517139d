"""Stochastic depth: probabilities per block, independent images, and what stays as it was."""

import copy

import pytest
import torch
from detectron2.modeling import build_backbone
from torchvision.ops import StochasticDepth

from tests.modeling.conftest import wake
from tests.small_configs import small_cfg
from vt_seg.layers import VisualTransformer
from vt_seg.modeling import add_stochastic_depth


def backbone(name="build_resnet_backbone", depth=18):
    width = ["MODEL.RESNETS.RES2_OUT_CHANNELS", 64 if depth < 50 else 256]
    cfg = small_cfg("MODEL.BACKBONE.NAME", name, "MODEL.RESNETS.DEPTH", depth, *width)
    return build_backbone(cfg)


def drops(module):
    return {k: m.p for k, m in module.named_modules() if isinstance(m, StochasticDepth)}


@pytest.mark.parametrize(("depth", "conv", "blocks"), [(18, "conv2", 8), (50, "conv3", 16)])
def test_the_probability_rises_linearly_over_the_blocks(depth, conv, blocks):
    """Block l of L survives with probability 1 - l / L * (1 - p_L) (Huang et al. Sec. 3)."""
    network = backbone(depth=depth)
    assert add_stochastic_depth(network, 0.1) == blocks
    stages = {18: [2, 2, 2, 2], 50: [3, 4, 6, 3]}[depth]
    names = [
        f"res{s}.{i}.{conv}" for s, n in zip((2, 3, 4, 5), stages, strict=True) for i in range(n)
    ]
    expected = {f"{name}.activation": 0.1 * (i + 1) / blocks for i, name in enumerate(names)}
    assert drops(network) == pytest.approx(expected)


def test_visual_transformers_are_the_last_blocks_of_a_vt_resnet():
    network = backbone("build_vt_resnet_backbone")
    assert add_stochastic_depth(network, 0.4) == 8  # six residual blocks, two VT modules
    found = drops(network)
    for number, share in ((0, 7 / 8), (1, 1.0)):
        block = f"res5.stack.blocks.{number}"
        for branch in ("mixer", "projectors.0"):
            assert found.pop(f"{block}.{branch}.drop_path") == pytest.approx(0.4 * share)
    assert len(found) == 6


def test_only_the_bottom_up_network_of_an_fpn_gets_stochastic_depth():
    network = backbone("build_resnet_vt_fpn_backbone")
    assert any(isinstance(m, VisualTransformer) for m in network.neck.modules())
    assert add_stochastic_depth(network, 0.1) == 8
    assert len(drops(network)) == len(drops(network.bottom_up)) == 8


@pytest.mark.parametrize("name", ["build_resnet_backbone", "build_vt_resnet_backbone"])
def test_evaluation_and_names_of_weights_stay(name):
    network = wake(backbone(name))
    plain = copy.deepcopy(network)
    add_stochastic_depth(network, 1.0)
    assert list(network.state_dict()) == list(plain.state_dict())
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network.eval()(image)["res5"], plain.eval()(image)["res5"])
        assert not torch.allclose(network.train()(image)["res5"], plain.train()(image)["res5"])
        # A probability of 0 takes it away again.
        add_stochastic_depth(network, 0.0)
        assert not drops(network)
        plain.load_state_dict(network.state_dict())
        assert torch.equal(network(image)["res5"], plain(image)["res5"])
    add_stochastic_depth(network, 0.5)
    network(torch.randn(8, 3, 64, 64))["res5"].square().mean().backward()
    assert [k for k, p in network.named_parameters() if p.grad is None] == []


def test_a_dropped_branch_leaves_the_shortcut():
    """The output is relu(shortcut + branch / survival) or relu(shortcut), image by image."""
    network = backbone()
    block = network.res5[1]
    add_stochastic_depth(network, 0.25)  # the last block's probability
    block.train()
    x = torch.rand(64, 512, 2, 2)
    with torch.no_grad():
        got = block(x)
        branch = block.conv2.norm(
            torch.nn.functional.conv2d(block.conv1(x).relu(), block.conv2.weight, padding=1)
        )
    kept = torch.tensor([not torch.equal(a, b) for a, b in zip(got, x, strict=True)])
    assert 0 < (~kept).sum() < 64
    expected = (x + branch / 0.75 * kept[:, None, None, None]).relu()
    torch.testing.assert_close(got, expected)


def test_probabilities_and_networks_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match=r"STOCHASTIC_DEPTH is 1.5, need 0 to 1"):
        add_stochastic_depth(backbone(), 1.5)
    with pytest.raises(ValueError, match=r"Linear has no residual block .*: set it to 0"):
        add_stochastic_depth(torch.nn.Linear(2, 2), 0.1)
    assert add_stochastic_depth(torch.nn.Linear(2, 2), 0.0) == 0
    network = backbone()
    network.res3[1].conv2.activation = torch.nn.ReLU()
    with pytest.raises(ValueError, match="BasicBlock has an activation of its own"):
        add_stochastic_depth(network, 0.1)


def test_frozen_blocks_are_never_dropped():
    network = backbone()
    network.freeze(2)  # stem and res2
    add_stochastic_depth(network, 0.8)
    dropped = drops(network)
    assert not any(name.startswith("res2.") for name in dropped)
    assert dropped["res3.0.conv2.activation"] == pytest.approx(0.8 * 3 / 8)
