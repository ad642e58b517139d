"""The arithmetic of the ablation table, against numbers worked out by hand."""

import math

import pytest

from research.ablations.ablation_rows import AblationRow
from research.ablations.ablation_table import (
    AblationResult,
    differences,
    format_ablations,
    format_seeds,
    paper_difference,
    pooled_deviation,
)


def result(name, *mious, changes=None, base=None, macs=1_234_000_000, params=5_678_000):
    row = AblationRow(f"x/{name}.yaml", base and f"x/{base}.yaml", changes or {})
    return AblationResult(row, [{"mIoU": m, "fwIoU": 0.0} for m in mious], macs, params)


BASE = result("v4_base", 80.0, 84.0)
POOLING = result(
    "v4_table3_pooling",
    79.0,
    82.0,
    changes={"MODEL.VT_RESNET.TOKENIZER": "pooling"},
    base="v4_base",
)
OWN = result("own", 70.0, 74.0, changes={"A.B": 1, "C": 2}, base="v4_base", params=1_000_000)


def cells(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if ":-" not in line
    ]


def test_differences_pair_the_seeds():
    assert differences(POOLING, BASE, "mIoU") == [-1.0, -2.0]


def test_pooled_deviation():
    # Variances 0.5 and 8 of one degree of freedom each, 1 of two: (0.5 + 8 + 2) / 4.
    groups = [[1.0, 2.0], [1.0, 5.0], [1.0, 2.0, 3.0], [7.0]]
    assert pooled_deviation(groups) == pytest.approx(math.sqrt(10.5 / 4))
    assert math.isnan(pooled_deviation([[1.0]])) and math.isnan(pooled_deviation([]))


def test_paper_differences():
    """v1 Table 3 reports its own: -1.96 and -0.32. v4's base row is Table 2: 72.0 and 74.8."""
    assert paper_difference("v1_table3_no_transformer", 18) == "-1.96"
    assert paper_difference("v1_table3_no_transformer", 34) == "-0.32"
    assert paper_difference("v4_table3_clustering", 34) == "+0.3"
    assert paper_difference("v4_table5_graph_conv", 18) == "-2.8"
    assert paper_difference("v4_table6_64_tokens", 18) == "0.0"
    assert paper_difference("v4_table7_no_projector", 34) == "-0.7"
    assert paper_difference("v4_base", 18) == "" == paper_difference("control_resnet", 34)


def test_table():
    text = format_ablations([BASE, POOLING, OWN])
    header, base, pooling, own = cells(text)
    assert header == [
        *("row", "changes", "paper, top-1 from base: VT-R-18", "VT-R-34", "mIoU", "from base"),
        *("params M", "MACs G"),
    ]
    assert base == ["v4_base", "**base**", "", "", "82.00 (80.00 to 84.00)", "", "5.68", "1.234"]
    # Differences -1, -2 and -10, -10: variances 0.5 and 0, pooled 0.25, error 0.5 / sqrt(2), twice
    # that is 0.71: both means exceed it.
    assert pooling == [
        *("v4_table3_pooling", "TOKENIZER pooling", "-1.4", "-1.3", "80.50 (79.00 to 82.00)"),
        *("**-1.50** (-2.00 to -1.00)", "5.68", "1.234"),
    ]
    assert own[1:5] == ["B 1, C 2", "", "", "72.00 (70.00 to 74.00)"]
    assert own[5:] == ["**-10.00** (-10.00 to -10.00)", "1.00", "1.234"]
    assert "exceed twice their standard error: 0.71 (mIoU)" in text


def test_what_chance_may_explain_is_not_bold():
    up_and_down = result("up", 81.0, 82.0, base="v4_base")  # +1 and -2: deviation 2.12, twice 1.5
    text = format_ablations([BASE, up_and_down])
    assert cells(text)[2][3] == "-0.50 (-2.00 to +1.00)"
    assert "standard error: 3.00 (mIoU)" in text


def test_one_seed_and_bases_alone():
    base, row = result("base", 80.0), result("row", 81.5, base="base")
    text = format_ablations([base, row])
    assert cells(text)[2][2:4] == ["81.50", "+1.50"]
    assert "One seed: no spread is known" in text
    assert "seed" not in format_ablations([BASE])


def test_scores_of_a_classifier():
    row = AblationRow("a.yaml", None, {})
    text = format_ablations([AblationResult(row, [{"top1": 90.0, "top5": 99.0}], 1, 1)])
    assert cells(text)[0] == ["row", "changes", "top-1", "from base", "top-5", "from base"] + [
        "params M",
        "MACs G",
    ]


def test_every_run_is_listed():
    assert cells(format_seeds([BASE, OWN], [3, 5])) == [
        ["mIoU", "seed 3", "seed 5"],
        ["v4_base", "80.00", "84.00"],
        ["own", "70.00", "74.00"],
    ]
