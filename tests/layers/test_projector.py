import numpy as np
import pytest
import torch
from torch import nn

from tests.layers import literal
from tests.layers.conftest import affine, dense, pixels, randomised, with_statistics
from vt_seg.layers import Projector


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_projector_is_eq_4(heads, groups, revision, norm):
    arguments = {"num_heads": heads, "pixel_groups": groups, "revision": revision, "norm": norm}
    projector = with_statistics(randomised(Projector(8, 12, **arguments)))
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
    projector = randomised(Projector(8, 8, num_heads=2, pixel_groups=2, revision="v4"))
    assert projector.value is None
    with torch.no_grad():
        projector.gain.fill_(1.0)
    x, tokens = torch.randn(1, 8, 4, 3).double(), torch.randn(1, 8, 6).double()
    expected = literal.project(
        pixels(x[0]), tokens[0].numpy().T, dense(projector.query), affine(projector.key), None, 2
    )
    np.testing.assert_allclose(pixels(projector(x, tokens)[0]), expected, atol=1e-10)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize(("token_channels", "revision"), [(64, "v1"), (32, "v4"), (64, "v4")])
def test_fresh_projector_is_the_identity(norm, token_channels, revision):
    projector = Projector(32, token_channels, revision=revision, norm=norm)
    x = torch.randn(2, 32, 5, 6)
    tokens = torch.randn(2, token_channels, 4)
    torch.testing.assert_close(projector(x, tokens), x, rtol=0, atol=0)


def test_token_softmax_says_which_tokens_each_pixel_reads():
    projector = randomised(Projector(8, 12, num_heads=2, pixel_groups=2))
    seen = []
    projector.token_softmax.register_forward_hook(lambda layer, args, output: seen.append(output))
    x, tokens = torch.randn(1, 8, 5, 7).double(), torch.randn(1, 12, 6).double()
    projector(x, tokens)
    (attention,) = seen
    assert attention.shape == (1, 2, 6, 35)
    weight, bias = affine(projector.key)
    query, key = pixels(x[0]) @ dense(projector.query).T, tokens[0].numpy().T @ weight.T + bias
    for head, got in enumerate(attention[0]):
        channels = slice(4 * head, 4 * head + 4)
        logits = query[:, channels] @ key[:, channels].T / 2  # (HW, L), d = 4
        np.testing.assert_allclose(got.T.detach(), literal.softmax(logits, 1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("token_channels", [8, 12])
def test_drop_path_takes_what_is_added(token_channels):
    projector = randomised(
        Projector(
            8, token_channels, num_heads=2, pixel_groups=2, revision="v4", norm=nn.BatchNorm2d
        )
    )
    assert type(projector.drop_path) is nn.Identity
    x, tokens = torch.randn(2, 8, 5, 7).double(), torch.randn(2, token_channels, 6).double()
    assert (projector(x, tokens) - x).abs().max() > 0.05
    projector.drop_path = nn.Dropout(p=1.0)
    assert torch.equal(projector(x, tokens), x)


def test_channels_that_heads_or_groups_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="num_heads 4 does not divide 10 channels"):
        Projector(10, 12, num_heads=4, pixel_groups=2)
    with pytest.raises(ValueError, match="groups 4 does not divide 10 channels"):
        Projector(10, 12, num_heads=2, pixel_groups=4)
    with pytest.raises(ValueError, match="'v2'"):
        Projector(8, 12, num_heads=2, pixel_groups=2, revision="v2")
