"""The paper's formulas in code: its own worked example, by hand, and against the counter."""

import pytest
import torch
from torch import nn

from vt_seg.analysis import count_macs
from vt_seg.analysis.complexity import num_parameters
from vt_seg.analysis.literal_macs import LiteralCost, vt_fpn_neck, vt_resnet_stage, vt_stack
from vt_seg.layers import VTFPN, VisualTransformerStack

C, C_T, H, W, HEADS, GROUPS, TOKEN_GROUPS = 32, 64, 14, 18, 4, 4, 2
HW = H * W
BASE = {
    "num_tokens": 6,
    "token_channels": C_T,
    "revision": "v1",
    "tokenizer": "filter",
    "clustering_steps": 3,
    "recurrent": True,
    "mixer": "transformer",
    "parallel_mixers": 1,
    "projector": True,
    "num_heads": HEADS,
    "pixel_groups": GROUPS,
    "token_groups": TOKEN_GROUPS,
    "position_code": True,
    "position_size": 12,
    "position_downsamples": 1,
}


def stack_cost(num_layers, **changes):
    cost = LiteralCost()
    vt_stack(cost, C, [HW], num_layers, **{**BASE, **changes})
    return cost


def test_the_papers_own_example():
    """v1 Sec. 3.2: C_T = 512, L = 8: 6.3 M MACs in the transformer, 3 C_T^2 L + 1.5 L^2 C_T."""
    sizes = {**BASE, "num_tokens": 8, "token_channels": 512, "token_groups": 1}
    cost = LiteralCost()
    vt_stack(cost, 512, [49], **sizes)
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
        "position code": 6 * (9 + 1 + 36) * 36 + 3 * (9 * 16 + 4 + 36) * 36,
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
    cost = stack_cost(2, revision="v4", position_code=False)
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


def test_stage_and_neck_add_their_convolutions():
    without = stack_cost(1)
    stage = vt_resnet_stage(2 * C, C, HW, 1, **BASE)
    assert stage.macs - without.macs == {"channel adjustment": 2 * C * C * HW}
    assert "channel adjustment" not in vt_resnet_stage(C, C, HW, 1, **BASE).macs
    neck = vt_fpn_neck([8, 16], C, [HW, HW // 4], **BASE)
    assert neck.macs["laterals"] == C * (8 * HW + 16 * HW // 4)
    # One transformer over the tokens of both levels; own tokens are written back.
    assert neck.macs["transformer F"] == 12 * C_T * C_T
    assert neck.macs["projector products"] == 2 * C * 6 * (HW + HW // 4)
    every = vt_fpn_neck([8, 16], C, [HW, HW // 4], **BASE, projector_reads="all")
    assert every.macs["projector products"] == 2 * neck.macs["projector products"]


def executed_beside_printed(sizes, num_layers):
    """MACs by which the implementation differs from the formulas, and why."""
    tokens, kinds = sizes["num_tokens"], []
    for layer in range(num_layers):
        kinds.append("recurrent" if layer and sizes["recurrent"] else sizes["tokenizer"])
    total = 0
    for kind in kinds:
        v1_recurrent = kind == "recurrent" and sizes["revision"] == "v1"
        heads, new = (HEADS, tokens // 2) if v1_recurrent else (1, tokens)
        if sizes["revision"] == "v1" and kind != "recurrent":
            # (W_V X) A = W_V (X A): on tokens, not on pixels.
            total -= C * C // GROUPS * (HW - tokens)
        if sizes["position_code"]:
            # The resize to a square is a product over rows and one over columns.
            side = sizes["position_size"]
            total += heads * new * (side * H * W + side * W * side)
        if kind == "pooling":
            total += tokens * HW * C  # an average is a product here
        if kind == "clustering":
            # The first centroids, and the average of every cluster in each step, are products.
            total += (1 + sizes["clustering_steps"]) * tokens * HW * C
    return total


@pytest.mark.parametrize(("revision", "tokens_only"), [("v1", True), ("v4", False)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recurrent": False},
        {"tokenizer": "pooling"},
        {"tokenizer": "clustering"},
        {"mixer": "none", "position_code": False},
        {"mixer": "graph_conv"},
        {"parallel_mixers": 2},
        {"projector": False},
        {"position_size": 8, "position_downsamples": 2, "num_tokens": 5},
    ],
    ids=str,
)
def test_the_counter_agrees(changes, revision, tokens_only):
    sizes = {**BASE, "revision": revision, **changes}
    with torch.device("meta"):
        stack = VisualTransformerStack(
            C, 3, tokens_only=tokens_only, norm=nn.BatchNorm2d, **sizes
        ).eval()
        x = torch.empty(1, C, H, W)
    printed = stack_cost(3, **sizes, tokens_only=tokens_only)
    assert num_parameters(stack, norms=False) == printed.total_weights
    executed = count_macs(lambda: stack([x]))
    assert executed == printed.total_macs + executed_beside_printed(sizes, 3)


def test_the_counter_agrees_on_a_neck():
    with torch.device("meta"):
        neck = VTFPN([8, 16], C, norm=nn.BatchNorm2d, **BASE).eval()
        maps = [torch.empty(1, 8, H, W), torch.empty(1, 16, H // 2, W // 2)]
    printed = vt_fpn_neck([8, 16], C, [HW, HW // 4], **BASE)
    assert num_parameters(neck, norms=False) == printed.total_weights
    tokens = BASE["num_tokens"]
    on_tokens = C * C // GROUPS * (HW - tokens + HW // 4 - tokens)
    resize = tokens * (12 * HW + 12 * W * 12 + 12 * HW // 4 + 12 * W // 2 * 12)
    assert count_macs(lambda: neck(maps)) == printed.total_macs - on_tokens + resize
