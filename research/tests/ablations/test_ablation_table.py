"""The arithmetic of the ablation table, against numbers worked out by hand."""

import math

import pytest

from research.ablations.ablation_rows import AblationRow
from research.ablations.ablation_table import (
    AblationResult,
    ablation_table,
    differences,
    paper_difference,
    pooled_std,
    seed_table,
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


def cells(results):
    return [row.cells for row in ablation_table(results).rows]


def test_differences_pair_the_seeds():
    assert differences(POOLING, BASE, "mIoU") == [-1.0, -2.0]


def test_pooled_std():
    # Variances 0.5 and 8 of one degree of freedom each, 1 of two: (0.5 + 8 + 2) / 4.
    groups = [[1.0, 2.0], [1.0, 5.0], [1.0, 2.0, 3.0], [7.0]]
    assert pooled_std(groups) == pytest.approx(math.sqrt(10.5 / 4))
    assert math.isnan(pooled_std([[1.0]]))
    assert math.isnan(pooled_std([]))


@pytest.mark.parametrize(
    ("config", "depth", "difference"),
    [
        # v1 Table 3 reports these differences; v4's base row is Table 2: 72.0 and 74.8.
        ("v1_table3_no_transformer", 18, "-1.96"),
        ("v1_table3_no_transformer", 34, "-0.32"),
        ("v4_table3_clustering", 34, "+0.3"),
        ("v4_table5_graph_conv", 18, "-2.8"),
        ("v4_table6_64_tokens", 18, "0.0"),
        ("v4_table7_no_projector", 34, "-0.7"),
        ("v4_base", 18, ""),
        ("control_resnet", 34, ""),
    ],
)
def test_paper_differences(config, depth, difference):
    assert paper_difference(config, depth) == difference


def test_table_has_means_ranges_and_limits():
    results = [BASE, POOLING, OWN]
    assert ablation_table(results).columns == (
        *("row", "changes", "paper, top-1 from base: VT-R-18", "VT-R-34", "mIoU", "from base"),
        *("params M", "MACs G"),
    )
    # Differences -1, -2 and -10, -10: variances 0.5 and 0, pooled 0.25, error 0.5 / sqrt(2), twice
    # that is 0.71: both means exceed it.
    assert cells(results) == [
        ("v4_base", "**base**", "", "", "82.00 (80.00 to 84.00)", "", "5.68", "1.234"),
        (
            *("v4_table3_pooling", "TOKENIZER pooling", "-1.4", "-1.3", "80.50 (79.00 to 82.00)"),
            *("**-1.50** (-2.00 to -1.00)", "5.68", "1.234"),
        ),
        (
            *("own", "B 1, C 2", "", "", "72.00 (70.00 to 74.00)"),
            *("**-10.00** (-10.00 to -10.00)", "1.00", "1.234"),
        ),
        ("twice the standard error", "", "", "", "", "0.71", "", ""),
    ]


def test_differences_within_chance_are_not_bold():
    up_and_down = result("up", 81.0, 82.0, base="v4_base")  # +1 and -2: std 2.12, twice error 3
    *_, row, limits = cells([BASE, up_and_down])
    assert row[3] == "-0.50 (-2.00 to +1.00)"
    assert limits[3] == "3.00"


def test_one_seed_and_bases_alone_have_no_limits():
    base, row = result("base", 80.0), result("row", 81.5, base="base")
    found = cells([base, row])
    assert len(found) == 2
    assert found[1][2:4] == ("81.50", "+1.50")
    assert len(cells([BASE])) == 1


def test_scores_of_a_classifier():
    row = AblationRow("a.yaml", None, {})
    table = ablation_table([AblationResult(row, [{"top1": 90.0, "top5": 99.0}], 1, 1)])
    assert table.columns == (
        *("row", "changes", "top-1", "from base", "top-5", "from base", "params M", "MACs G"),
    )


def test_every_run_is_listed():
    table = seed_table([BASE, OWN], [3, 5])
    assert table.columns == ("mIoU", "seed 3", "seed 5")
    assert [row.cells for row in table.rows] == [
        ("v4_base", "80.00", "84.00"),
        ("own", "70.00", "74.00"),
    ]
