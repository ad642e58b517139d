"""The benchmark of evaluators compares like with like."""

import argparse

import pytest

from research import benchmark_evaluation as benchmark
from vt_seg.data import unregister


@pytest.fixture
def logits(tmp_path):
    args = argparse.Namespace(classes=7, size=[48, 64], images=2)
    yield benchmark.register_synthetic_dataset(str(tmp_path), args)
    unregister(benchmark.DATASET)


def test_all_evaluators_find_the_same_miou(logits):
    assert [x.shape for x in logits] == [(7, 48, 64)] * 2
    found = {name: benchmark.evaluate(name, logits)[1] for name in benchmark.EVALUATORS}
    assert len(found) == 5
    reference = found[benchmark.REFERENCE]
    assert found == pytest.approx(dict.fromkeys(found, reference), abs=1e-9)
    assert 30 < reference < 100
