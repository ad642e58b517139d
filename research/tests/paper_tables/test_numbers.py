"""The transcription, checked with what the paper itself derives from its numbers."""

import pytest

from research.paper_tables import numbers


def test_v1_table_1_differences():
    """The columns "delta top-1", "delta MACs (M)" and "delta params (M)" of v1 Table 1."""
    printed = {
        18: ("+4.53", -227, "+1.09"),
        34: ("+4.14", -513, "-3.76"),
        50: ("+2.88", -677, "-4.1"),
        101: ("+3.70", -675, "-4.11"),
    }
    for depth, (top1, macs, params) in printed.items():
        resnet, vt = (numbers.V1_TABLE_1[f"{kind}R-{depth}"] for kind in ("", "VT-"))
        assert float(vt.top1) - float(resnet.top1) == pytest.approx(float(top1))
        assert float(vt.macs) - float(resnet.macs) == pytest.approx(macs / 1e3)
        assert float(vt.params) - float(resnet.params) == pytest.approx(float(params))


def test_v1_table_2_totals():
    """Its ratios of totals are those of v1 Table 1, but for the parameters of R-101."""
    for i, depth in enumerate((18, 34, 50, 101)):
        resnet, vt = (numbers.V1_TABLE_1[f"{kind}R-{depth}"] for kind in ("", "VT-"))
        macs = float(resnet.macs) / float(vt.macs)
        params = float(resnet.params) / float(vt.params)
        assert float(numbers.REDUCTIONS["MACs, total"][i]) == pytest.approx(macs, abs=0.006)
        if depth != 101:
            printed = float(numbers.REDUCTIONS["params, total"][i])
            assert printed == pytest.approx(params, abs=0.006)


def test_v1_table_3_accuracies():
    """The drops in brackets in v1 Table 3."""
    printed = {18: (-1.96, -0.02, -1.19), 34: (-0.32, -0.15, -1.25)}
    for depth, drops in printed.items():
        base, *rows = numbers.V1_TABLE_3[depth].values()
        assert [round(float(row.top1) - float(base.top1), 2) for row in rows] == list(drops)
    assert numbers.V1_TABLE_3[18]["base"].macs == numbers.V1_TABLE_1["VT-R-18"].macs
    assert numbers.V1_TABLE_3[34]["base"].params == numbers.V1_TABLE_1["VT-R-34"].params


def test_v1_table_4_ratios():
    """The ratios in brackets in v1 Table 4, within a rounding of the neck's two digits."""
    for dataset, neck_ratio in (("COCO-Stuff", 6.48), ("LIP", 6.40)):
        for depth, total_ratio in ((50, 1.41), (101, 1.25)):
            fpn = numbers.V1_TABLE_4[dataset, f"R-{depth} FPN"]
            vt_fpn = numbers.V1_TABLE_4[dataset, f"R-{depth} VT-FPN"]
            assert float(fpn.total) / float(vt_fpn.total) == pytest.approx(total_ratio, abs=0.006)
            assert float(fpn.neck) / float(vt_fpn.neck) == pytest.approx(neck_ratio, abs=0.006)
