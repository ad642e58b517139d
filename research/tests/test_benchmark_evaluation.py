"""The benchmark compares like with like."""

import argparse

import pytest

from research import benchmark_evaluation as tool
from vt_seg.data.datasets.registration import unregister


@pytest.fixture
def outputs(tmp_path):
    args = argparse.Namespace(classes=7, size=[48, 64], images=2)
    yield tool.paint(str(tmp_path), args)
    unregister("benchmark")


def test_all_evaluators_see_the_same(outputs):
    assert [output.shape for output in outputs] == [(7, 48, 64)] * 2
    found = {name: tool.run(name, outputs)[1] for name in tool.CONTENDERS}
    assert len(found) == 5
    assert all(score == pytest.approx(found[tool.REFERENCE], abs=1e-9) for score in found.values())
    assert 30 < found[tool.REFERENCE] < 100
