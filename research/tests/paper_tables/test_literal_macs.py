"""The paper's formulas in code: its own worked example, by hand, and against the counter."""

import logging
import math
from dataclasses import replace

import pytest
import torch
from detectron2.layers import ShapeSpec
from fvcore.nn import FlopCountAnalysis
from torch import nn

from research.paper_tables import PaperModels
from research.paper_tables.literal_macs import LiteralCost, vt_fpn_neck, vt_resnet_stage, vt_stack
from vt_seg.complexity import count_macs, num_parameters
from vt_seg.layers import VTFPN, VisualTransformerStack, VTConfig
from vt_seg.modeling.vt_config import build_vt_fpn_neck

C, C_T, H, W, HEADS, GROUPS, TOKEN_GROUPS = 32, 64, 14, 18, 4, 4, 2
HW = H * W
BASE = VTConfig(
    num_tokens=6,
    token_channels=C_T,
    clustering_steps=3,
    num_heads=HEADS,
    pixel_groups=GROUPS,
    token_groups=TOKEN_GROUPS,
)


def stack_cost(num_layers, tokens_only=False, values_on_tokens=False, **changes):
    cost = LiteralCost()
    config = replace(BASE, num_layers=num_layers, **changes)
    more = {"tokens_only": tokens_only, "values_on_tokens": values_on_tokens}
    vt_stack(cost, C, [HW], config, **more)
    return cost


def test_the_papers_own_example():
    """v1 Sec. 3.2: C_T = 512, L = 8: 6.3 M MACs in the transformer, 3 C_T^2 L + 1.5 L^2 C_T."""
    cost = LiteralCost()
    vt_stack(cost, 512, [49], replace(BASE, num_tokens=8, token_channels=512, token_groups=1))
    transformer = sum(macs for term, macs in cost.macs.items() if term.startswith("transformer"))
    assert transformer == 3 * 512**2 * 8 + 3 * 8**2 * 512 // 2
    assert transformer / 1e6 == pytest.approx(6.3, abs=0.05)


def test_v1_by_hand():
    cost = stack_cost(2, tokens_only=True)
    assert cost.macs == {
        "tokenizer W_A": HW * C * 6,
        # As printed: on every pixel, of both layers' values and the second one's keys.
        "tokenizer W_V": 2 * HW * C * C // 4,
        "tokenizer key": HW * C * C // 4,
        # Half of the six tokens ask anew.
        "tokenizer query": 3 * C_T * C,
        "tokenizer logits": HW * C * 3,
        "tokenizer A^T V": HW * C * (6 + 3),
        # 3x3 from heads to heads and 1x1 to one, on 6x6 cells; then 36 to 36.
        "positional encoding": 6 * (9 + 1 + 36) * 36 + 3 * (9 * 16 + 4 + 36) * 36,
        "tokenizer to C_T": (C + 36) * C_T * (6 + 3),
        "transformer K, Q": 2 * 6 * C_T * C_T // 2,
        "transformer V": 2 * 6 * C_T * C_T // 2,
        "transformer products": 2 * 3 * 6 * 6 * C_T // 2,
        "transformer F": 2 * 6 * C_T * C_T,
        # Of the first layer alone: tokens are all that is wanted of the last.
        "projector Q": HW * C * C // 4,
        "projector K": 6 * C_T * C,
        "projector V": 6 * C_T * C,
        "projector products": 2 * HW * C * 6,
    }
    assert cost.weights["transformer K, Q"] == 2 * (2 * C_T * (C_T // 2)) // TOKEN_GROUPS


def test_v4_by_hand():
    cost = stack_cost(2, revision="v4", positional_encoding=False)
    assert cost.macs == {
        "tokenizer W_A": HW * C * 6,
        "tokenizer query": 6 * C_T * C,  # all tokens ask, in one head
        "tokenizer logits": HW * C * 6,
        "tokenizer A^T V": 2 * HW * C * 6,
        "tokenizer to C_T": 2 * C * C_T * 6,
        "transformer K, Q": 2 * 6 * C_T * C_T,
        "transformer products": 2 * 3 * 6 * 6 * C_T // 2,
        "transformer F": 2 * 2 * 6 * C_T * C_T,
        "projector Q": 2 * HW * C * C // 4,
        "projector K": 2 * 6 * C_T * C,
        "projector V": 2 * 6 * C_T * C,
        "projector products": 2 * 2 * HW * C * 6,
    }


def test_projector_values_of_v4_are_the_tokens_where_channels_agree():
    cost = stack_cost(1, revision="v4", token_channels=C)
    assert "projector V" not in cost.macs and cost.macs["projector K"] == 6 * C * C


def test_tokens_of_v4_need_no_convolution_where_channels_agree():
    term = "tokenizer to C_T"
    equal = {"token_channels": C, "positional_encoding": False}
    assert term not in stack_cost(2, revision="v4", **equal).macs
    assert stack_cost(2, **equal).macs[term] == C * C * (6 + 3)  # v1's listing always has it
    with_position = stack_cost(2, revision="v4", token_channels=C)
    assert with_position.macs[term] == 2 * 6 * (C + 36) * C  # brings the channels back to C_T


def test_stage_and_neck_add_their_convolutions():
    without = stack_cost(1)
    stage = vt_resnet_stage(2 * C, C, HW, BASE)
    assert stage.macs - without.macs == {"channel adjustment": 2 * C * C * HW}
    assert "channel adjustment" not in vt_resnet_stage(C, C, HW, BASE).macs
    neck = vt_fpn_neck([8, 16], C, [HW, HW // 4], BASE)
    assert neck.macs["laterals"] == C * (8 * HW + 16 * HW // 4)
    # One transformer over the tokens of both levels; own tokens are written back.
    assert neck.macs["transformer F"] == 12 * C_T * C_T
    assert neck.macs["projector products"] == 2 * C * 6 * (HW + HW // 4)
    every = vt_fpn_neck([8, 16], C, [HW, HW // 4], replace(BASE, projector_reads="all"))
    assert every.macs["projector products"] == 2 * neck.macs["projector products"]


def test_values_on_tokens():
    """A static tokenizer's W_V leaves the pixels; a recurrent one's, and all else, stays."""
    pixels = stack_cost(2)
    tokens = stack_cost(2, values_on_tokens=True)
    assert pixels.macs - tokens.macs == {"tokenizer W_V": C * C // 4 * (HW - 6)}
    assert tokens.weights == pixels.weights
    v4 = {"revision": "v4"}
    assert stack_cost(2, **v4, values_on_tokens=True) == stack_cost(2, **v4)


def executed_beside_printed(config, height, width, kinds, num_projectors):
    """MACs by which the implementation differs on one map from the formulas, and why.

    Args:
        config: of the VT layers.
        height: of the map.
        width: of the map.
        kinds: the tokenizer of each layer.
        num_projectors: of the map's layers.
    """
    pixels, num_heads = height * width, config.num_heads
    # Neither a head nor a group of channels crosses these.
    blocks = math.gcd(num_heads, GROUPS)

    def moved(tokens):
        """A weight that is printed on pixels, before a product of tokens with pixels."""
        printed = C * C // GROUPS * pixels
        # On tokens each head reads its whole block, and has its share of the channels to say of it:
        folded = num_heads * (C // num_heads) * (C // blocks) * tokens
        # so does the product, in which a head would have its own channels alone.
        wider = num_heads * tokens * pixels * (C // blocks - C // num_heads)
        return folded - printed + wider

    total = num_projectors * moved(config.num_tokens)  # W_Q
    for kind in kinds:
        heads, new = 1, config.num_tokens
        if kind == "recurrent" and config.revision == "v1":
            heads, new = num_heads, new // 2
            total += 2 * moved(new)  # keys and values
        elif config.revision == "v1":
            # One attention for all heads: W_V is a convolution on tokens, no wider than on pixels.
            total -= C * C // GROUPS * (pixels - new)
        if config.positional_encoding:
            # The resize to a square is a product over rows and one over columns.
            side = config.position_size
            total += heads * new * (side * pixels + side * width * side)
        if kind == "pooling":
            total += new * pixels * C  # an average is a product here
        if kind == "clustering":
            # The first centroids, and the average of every cluster in each step, are products.
            total += (1 + config.clustering_steps) * new * pixels * C
    return total


@pytest.mark.parametrize(("revision", "tokens_only"), [("v1", True), ("v4", False)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recurrent": False},
        {"tokenizer": "pooling"},
        {"tokenizer": "clustering"},
        {"mixer": "none", "positional_encoding": False},
        {"mixer": "graph_conv"},
        {"parallel_mixers": 2},
        {"projector": False},
        {"position_size": 8, "position_downsamples": 2, "num_tokens": 5},
        {"num_heads": 2},
        {"num_heads": 8},
        {"token_channels": C},
        {"token_channels": C, "positional_encoding": False},
    ],
    ids=str,
)
def test_the_counter_agrees(changes, revision, tokens_only):
    config = replace(BASE, num_layers=3, revision=revision, **changes)
    with torch.device("meta"):
        stack = VisualTransformerStack(C, 1, config, nn.BatchNorm2d, tokens_only=tokens_only).eval()
        x = torch.empty(1, C, H, W)
    printed = LiteralCost()
    vt_stack(printed, C, [HW], config, tokens_only=tokens_only)
    # The formula of v4 has no weight in the value branch; the scalar gain there is ours.
    gains = sum(name.endswith(".gain") for name, _ in stack.named_parameters())
    assert num_parameters(stack, norms=False) == printed.total_weights + gains
    later = "recurrent" if config.recurrent else config.tokenizer
    kinds = (config.tokenizer, later, later)
    num_projectors = (2 if config.projector else 0) + (not tokens_only)
    beside = executed_beside_printed(config, H, W, kinds, num_projectors)
    assert count_macs(lambda: stack([x])) == printed.total_macs + beside


def test_the_counter_agrees_on_a_neck():
    with torch.device("meta"):
        neck = VTFPN([8, 16], C, BASE, nn.BatchNorm2d).eval()
        maps = [torch.empty(1, 8, H, W), torch.empty(1, 16, H // 2, W // 2)]
    printed = vt_fpn_neck([8, 16], C, [HW, HW // 4], BASE)
    assert num_parameters(neck, norms=False) == printed.total_weights
    beside = sum(executed_beside_printed(BASE, *x.shape[2:], ("filter",), 1) for x in maps)
    assert count_macs(lambda: neck(maps)) == printed.total_macs + beside


def test_the_papers_neck():
    """v1 Table 4, VT-FPN on R-50 at 800 x 1216: 8.5 G by the formulas, with own tokens and W_V on
    tokens; fewer are executed."""
    models, name = PaperModels("configs"), "vtfpn_R50_cocostuff"
    literal = models.printed_neck(name, (800, 1216))
    assert literal.macs["laterals"] / 1e9 == pytest.approx(7.47, abs=0.005)
    assert literal.total_macs / 1e9 == pytest.approx(8.53, abs=0.005)

    maps = [torch.zeros(1, 256 * 2**i, 200 >> i, 304 >> i) for i in range(4)]
    shapes = [ShapeSpec(channels=x.shape[1]) for x in maps]
    neck = build_vt_fpn_neck(models.config(name), shapes).eval()
    pixels, tokens = sum(x[0, 0].numel() for x in maps), 4 * 8
    executed = literal.total_macs - 256 * 256 // 16 * (pixels - tokens)  # W_Q
    resize = 8 * 12 * (pixels + 12 * sum(x.shape[3] for x in maps))
    in_model = models.segmentation(name, (800, 1216)).macs["neck"]
    assert count_macs(lambda: neck(maps)) == in_model == executed + resize <= 8.25e9

    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(neck, (maps,))
    counted = analysis.by_operator()
    products = sum(counted[name] for name in ("conv", "matmul", "bmm", "linear", "einsum"))
    assert analysis.total() == products + counted["batch_norm"] <= 8.25e9
    # Of the resize's first product, whose first factor all tokens share, fvcore counts one token's.
    assert products == pytest.approx(executed + resize - 7 * 12 * pixels, abs=100)
    element_wise = {"add", "div", "maximum", "minimum", "mul", "softmax", "sub", "sum"}
    assert {name.removeprefix("aten::") for name in analysis.unsupported_ops()} <= {
        *element_wise,
        "unflatten",
    }
