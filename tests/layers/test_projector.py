import numpy as np
import pytest
import torch

from tests.layers import literal
from tests.layers.conftest import affine, dense, pixels, randomised
from vt_seg.layers import Projector


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_projector_is_eq_4(heads, groups, revision):
    projector = randomised(Projector(8, 12, num_heads=heads, groups=groups, revision=revision))
    x = torch.randn(3, 8, 5, 7, dtype=torch.float64)
    tokens = torch.randn(3, 12, 6, dtype=torch.float64)
    for image, t, got in zip(x, tokens, projector(x, tokens), strict=True):
        expected = literal.project(
            pixels(image),
            t.numpy().T,
            dense(projector.query),
            affine(projector.key),
            affine(projector.value),
            heads,
        )
        np.testing.assert_allclose(pixels(got), expected, atol=1e-10)


def test_v4_writes_the_tokens_themselves_where_channels_agree():
    projector = randomised(Projector(8, 8, num_heads=2, groups=2, revision="v4"))
    assert projector.value is None
    with torch.no_grad():
        projector.gain.fill_(1.0)
    x, tokens = torch.randn(1, 8, 4, 3).double(), torch.randn(1, 8, 6).double()
    expected = literal.project(
        pixels(x[0]), tokens[0].numpy().T, dense(projector.query), affine(projector.key), None, 2
    )
    np.testing.assert_allclose(pixels(projector(x, tokens)[0]), expected, atol=1e-10)


@pytest.mark.parametrize("norm", [None, torch.nn.BatchNorm2d])
@pytest.mark.parametrize(("token_channels", "revision"), [(64, "v1"), (32, "v4"), (64, "v4")])
def test_fresh_projector_is_the_identity(norm, token_channels, revision):
    projector = Projector(32, token_channels, revision=revision, norm=norm)
    x = torch.randn(2, 32, 5, 6)
    tokens = torch.randn(2, token_channels, 4)
    torch.testing.assert_close(projector(x, tokens), x, rtol=0, atol=0)
