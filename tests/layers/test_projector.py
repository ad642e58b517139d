import numpy as np
import pytest
import torch
from torch import nn

from tests.layers import literal
from tests.layers.blocks import NORMS, REVISIONS, random_maps, random_tokens, small
from tests.layers.conftest import (
    affine,
    assert_close,
    assert_same,
    dense,
    pixels,
    randomised,
    seen_by,
    with_statistics,
)
from vt_seg.layers import Projector


def projector_of(token_channels=12, norm=None, **changes):
    return Projector(8, small(token_channels=token_channels, **changes), norm)


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("token_channels", [8, 12])
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_projector_is_eq_4(heads, groups, token_channels, revision, norm, memory_format):
    projector = projector_of(
        token_channels, norm, num_heads=heads, pixel_groups=groups, revision=revision, mixer="none"
    )
    projector = with_statistics(randomised(projector))
    value = None  # v4 writes the tokens themselves where channels agree
    if projector.value is not None:
        value = affine(projector.value)
    assert (value is None) == (revision == "v4" and token_channels == 8)
    if value is None:
        nn.init.ones_(projector.gain)
    (x,), (tokens,) = random_maps(batch=3)[:1], random_tokens((6,), 3, token_channels)
    got = projector(x.contiguous(memory_format=memory_format), tokens)
    weights = (dense(projector.query), affine(projector.key), value)
    for image, t, written in zip(x, tokens, got, strict=True):
        assert_same(written, literal.project(pixels(image), pixels(t), *weights, heads))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("token_channels", "revision"), [(12, "v1"), (8, "v4"), (12, "v4")])
def test_fresh_projector_is_the_identity(norm, token_channels, revision):
    projector = projector_of(token_channels, norm, revision=revision).double()
    (x,), (tokens,) = random_maps()[:1], random_tokens(channels=token_channels)
    assert torch.equal(projector(x, tokens), x)


def test_token_softmax_gives_the_share_of_each_token_in_what_a_pixel_reads():
    projector = randomised(projector_of())
    seen = seen_by(projector.token_softmax)
    (x,), (tokens,) = random_maps(batch=1)[:1], random_tokens((6,), 1, 12)
    projector(x, tokens)
    assert seen[0].shape == (1, 2, 6, 35)
    weight, bias = affine(projector.key)
    query, key = pixels(x[0]) @ dense(projector.query).T, pixels(tokens[0]) @ weight.T + bias
    for head, got in enumerate(seen[0][0]):
        channels = slice(4 * head, 4 * head + 4)
        logits = query[:, channels] @ key[:, channels].T / 2  # (HW, L), d = 4
        np.testing.assert_allclose(got.T.detach(), literal.softmax(logits, 1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("token_channels", [8, 12])
def test_drop_path_is_applied_to_what_is_added(token_channels):
    projector = randomised(projector_of(token_channels, nn.BatchNorm2d, revision="v4"))
    assert type(projector.drop_path) is nn.Identity
    (x,), (tokens,) = random_maps()[:1], random_tokens(channels=token_channels)
    added = projector(x, tokens) - x
    assert added.abs().max() > 0.05
    projector.drop_path = nn.Hardtanh(-1e-3, 1e-3)
    assert_close(projector(x, tokens) - x, added.clamp(-1e-3, 1e-3))
