"""Works alternate, and speedups are taken within a round."""

import time

import pytest

from research.benchmark.timing import Comparison, spread, take_turns


def test_works_take_turns():
    calls = []
    comparison = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4  # the first round warms up
    assert {name: len(times) for name, times in comparison.seconds.items()} == {"a": 3, "b": 3}


def test_first_call_is_kept_apart():
    waits = iter([0.05, 0, 0])
    comparison = take_turns({"compiled": lambda: time.sleep(next(waits))}, 2)
    assert comparison.first_call["compiled"] >= 0.05
    assert max(comparison.seconds["compiled"]) < 0.05


def test_speedups_pair_the_rounds():
    # A machine that is twice as slow in the second round does not change the ratio.
    comparison = Comparison({"theirs": [3.0, 6.0, 3.0], "ours": [1.0, 2.0, 0.75]})
    assert comparison.speedups("ours", "theirs") == [3.0, 3.0, 4.0]
    assert comparison.speedups("theirs", "theirs") == [1.0, 1.0, 1.0]
    assert comparison.median("ours") == 1.0


@pytest.mark.parametrize(("digits", "text"), [(1, "3.0 (1.0 to 7.3)"), (2, "3.00 (1.00 to 7.26)")])
def test_spread_is_median_and_range(digits, text):
    assert spread([1.0, 7.26, 3.0], digits) == text
