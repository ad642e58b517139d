"""Hyper-parameters that do not fit are refused with the reason; the rest is kept."""

from dataclasses import FrozenInstanceError

import pytest

from tests.layers.blocks import neck, small, stack, tokenizer_of
from vt_seg.layers import VTConfig


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokenizer": "static"}, "tokenizer 'static' is none of"),
        ({"mixer": "mlp"}, "mixer 'mlp' is none of"),
        ({"projector_reads": "some"}, "projector_reads 'some'"),
        ({"revision": "v2"}, "revision 'v2'"),
        ({"tokenizer": "recurrent"}, "'recurrent' cannot be the first.*filter, pooling or"),
        ({"num_tokens": 0}, "num_tokens 0: a level needs at least 1"),
        ({"num_tokens": (4, 0)}, r"num_tokens \(4, 0\): a level needs at least 1"),
        ({"num_layers": -1}, "num_layers -1: at least 0"),
        ({"clustering_steps": -1}, "clustering_steps -1: at least 0"),
        ({"parallel_mixers": 0}, "parallel_mixers 0: at least 1"),
        ({"token_channels": 15}, "token_channels 15 must be even"),
        ({"num_heads": 3}, "num_heads 3 does not divide 4 channels"),
        ({"token_groups": 3}, "token_groups 3 does not divide 4 channels"),
        ({"num_layers": 2, "num_tokens": (4, 1)}, "of 1 token none.*revision 'v4'"),
        (
            {"num_layers": 2, "projector": False, "recurrent": False},
            "would reach nothing. Switch one of them on",
        ),
    ],
)
def test_values_that_do_not_fit_each_other_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        small(**changes)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: tokenizer_of("filter", pixel_groups=3), "pixel_groups 3 does not divide 8"),
        (lambda: tokenizer_of("filter", pixel_groups=0), "pixel_groups 0 does not divide 8"),
        (lambda: tokenizer_of("filter", position_size=7), "position size 7 must be a multiple"),
        (lambda: tokenizer_of("recurrent", num_heads=6), "num_heads 6 does not divide 8"),
        (lambda: stack(num_heads=3, mixer="none"), "num_heads 3 does not divide 8"),
        (lambda: stack(pixel_groups=3, revision="v4"), "pixel_groups 3 does not divide 8"),
        (lambda: stack(num_tokens=(2, 5, 3)), r"numbers of tokens \[2, 5, 3\] for 2 levels"),
        (lambda: stack(0, tokens_only=True), "num_layers 0: at least 1"),
        (lambda: stack(1, projector=False), "would change nothing"),
    ],
)
def test_values_that_do_not_fit_the_maps_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


def test_values_that_another_choice_leaves_unused_are_not_checked():
    small(mixer="none", token_channels=15)
    small(token_groups=3, revision="v4")
    neck(position_size=7, positional_encoding=False)
    tokenizer_of("recurrent", "v4", num_heads=6)  # which has one head
    for changes in ({"revision": "v4"}, {"recurrent": False}, {"num_layers": 1}):
        assert small(**{"num_layers": 2, "num_tokens": (4, 1), **changes}).num_tokens == (4, 1)


def test_one_number_of_tokens_or_one_for_each_level():
    assert small(num_tokens=8).tokens_of_levels(3) == [8, 8, 8]
    assert small(num_tokens=[16, 8, 4]).tokens_of_levels(3) == [16, 8, 4]


def test_a_config_is_immutable_and_hashable():
    config = VTConfig(num_tokens=[2, 3])
    assert {config: 1}[VTConfig(num_tokens=(2, 3))] == 1
    with pytest.raises(FrozenInstanceError):
        config.num_heads = 4
