"""The transcribed numbers agree with the paper's own differences and ratios."""

import pytest

from research.paper_tables import ablation_rows, reported


def test_v1_table_1_differences():
    """The columns "delta top-1", "delta MACs (M)" and "delta params (M)" of v1 Table 1."""
    derived = {
        18: ("+4.53", -227, "+1.09"),
        34: ("+4.14", -513, "-3.76"),
        50: ("+2.88", -677, "-4.1"),
        101: ("+3.70", -675, "-4.11"),
    }
    for depth, (top1, macs, params) in derived.items():
        resnet, vt = (reported.V1_TABLE_1[f"{kind}R-{depth}"] for kind in ("", "VT-"))
        assert float(vt.top1) - float(resnet.top1) == pytest.approx(float(top1))
        assert float(vt.macs) - float(resnet.macs) == pytest.approx(macs / 1e3)
        assert float(vt.params) - float(resnet.params) == pytest.approx(float(params))


def test_v1_table_2_totals():
    """Its ratios of totals are those of v1 Table 1, but for the parameters of R-101."""
    for i, depth in enumerate((18, 34, 50, 101)):
        resnet, vt = (reported.V1_TABLE_1[f"{kind}R-{depth}"] for kind in ("", "VT-"))
        macs = float(resnet.macs) / float(vt.macs)
        params = float(resnet.params) / float(vt.params)
        assert float(reported.REDUCTIONS["MACs, total"][i]) == pytest.approx(macs, abs=0.006)
        if depth != 101:
            reduction = float(reported.REDUCTIONS["params, total"][i])
            assert reduction == pytest.approx(params, abs=0.006)


def test_v1_table_3_accuracies():
    """The drops in brackets in v1 Table 3."""
    derived = {18: (-1.96, -0.02, -1.19), 34: (-0.32, -0.15, -1.25)}
    for depth, drops in derived.items():
        base, *rows = reported.V1_TABLE_3[depth].values()
        assert [round(float(row.top1) - float(base.top1), 2) for row in rows] == list(drops)
    assert reported.V1_TABLE_3[18]["base"].macs == reported.V1_TABLE_1["VT-R-18"].macs
    assert reported.V1_TABLE_3[34]["base"].params == reported.V1_TABLE_1["VT-R-34"].params


def test_v1_table_4_ratios():
    """The ratios in brackets in v1 Table 4, within a rounding of the neck's two digits."""
    for dataset, neck_ratio in (("COCO-Stuff", 6.48), ("LIP", 6.40)):
        for depth, total_ratio in ((50, 1.41), (101, 1.25)):
            fpn = reported.V1_TABLE_4[dataset, f"R-{depth} FPN"]
            vt_fpn = reported.V1_TABLE_4[dataset, f"R-{depth} VT-FPN"]
            assert float(fpn.total) / float(vt_fpn.total) == pytest.approx(total_ratio, abs=0.006)
            assert float(fpn.neck) / float(vt_fpn.neck) == pytest.approx(neck_ratio, abs=0.006)


def test_ablation_rows_are_found_by_config_with_their_base():
    row, base = ablation_rows("v1_table3_no_transformer", 34)
    assert (row.top1, base.top1) == ("74.33", "74.65")
    row, base = ablation_rows("v4_table5_graph_conv", 18)
    assert (row.top1, base.top1) == ("69.2", "72.0")
    assert ablation_rows("v4_base", 18) is None


def test_note_with_lists_of_labels_holds_for_each_row():
    notes = reported.NOTES
    first = notes["v4 Table 1", "MACs, total", "R-18"]
    assert first == notes["v4 Table 1", "params, stage 5", "R-101"]
    assert first.startswith("By the notes v4 has v1's ratio")
