"""Captured attention equals the paper's formulas, token by token."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from tests.layers.conftest import affine, dense, pixels, randomised
from tests.layers.literal import filter_tokens, recurrent_tokens_v1, recurrent_tokens_v4, softmax
from tests.modeling.conftest import wake
from tests.small_configs import RES, small_cfg
from vt_seg.layers import VTFPN, VisualTransformerStack, VTConfig
from vt_seg.visualization import capture_tokens

HEADS = 2
GROUPS = {"pixel_groups": 2, "token_groups": 2}
SMALL = VTConfig(num_tokens=5, token_channels=8, num_heads=HEADS, position_size=4, **GROUPS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def stack(num_layers, **more):
    return randomised(VisualTransformerStack(8, 1, replace(SMALL, num_layers=num_layers, **more)))


def recurrent_attention(tokenizer, x, tokens):
    """Return (heads, HW, L) of the new tokens, by the paper's loops."""
    w_q, b_q = affine(tokenizer.query)
    # The bias of the query is an input that is always 1.
    query_input = np.hstack([tokens, np.ones((len(tokens), 1))])
    w_q = np.hstack([w_q, b_q[:, None]])
    if tokenizer.key is None:
        return recurrent_tokens_v4(x, query_input, w_q)[1][None]
    weights = (dense(tokenizer.key), dense(tokenizer.value))
    return recurrent_tokens_v1(x, query_input, w_q, *weights, HEADS)[1]


def read_shares(projector, x, tokens):
    """Return the projector's attention (heads, L, HW), by the paper's loops."""
    w_k, b_k = affine(projector.key)
    query, key = x @ dense(projector.query).T, tokens @ w_k.T + b_k
    width = x.shape[1] // HEADS
    heads = [slice(h * width, (h + 1) * width) for h in range(HEADS)]
    return np.stack([softmax(key[:, c] @ query[:, c].T / np.sqrt(width), axis=0) for c in heads])


def maps_of(captured, size=(3, 4)):
    """Return (heads, L, HW) of the first image."""
    assert captured.shape[-2:] == size
    return captured[0].flatten(2).numpy()


def test_kept_tokens_have_the_attention_of_the_layer_that_extracted_them():
    vt = stack(3)
    x = torch.randn(1, 8, 3, 4).double()
    with torch.no_grad(), capture_tokens(vt) as captured:
        vt([x])
    places = [(one.stack, one.layer, one.level) for one in captured]
    assert places == [("", layer, "map1") for layer in (1, 2, 3)]
    # Five tokens: a layer replaces the first two and keeps the last three, which come first then.
    assert [one.origins for one in captured] == [
        ((1, 1), (1, 2), (1, 3), (1, 4), (1, 5)),
        ((1, 3), (1, 4), (1, 5), (2, 4), (2, 5)),
        ((1, 5), (2, 4), (2, 5), (3, 4), (3, 5)),
    ]

    # By hand: one block after the other, attention by literal loops over what went in.
    maps, tokens, made = [x], None, {}
    with torch.no_grad():
        for layer, (block, one) in enumerate(zip(vt.blocks, captured, strict=True), start=1):
            tokenizer, seen = block.tokenizers[0], pixels(maps[0][0])
            if layer == 1:
                new = filter_tokens(seen, dense(tokenizer.attention_filter))[1].T[None]
            else:
                query_input = tokens[0][0, :, :2].numpy().T
                new = recurrent_attention(tokenizer, seen, query_input).transpose(0, 2, 1)
            first_new = 5 - new.shape[1]
            made |= {(layer, first_new + i + 1): new[:, i] for i in range(new.shape[1])}
            expected = [np.broadcast_to(made[o], (1 if layer == 1 else 2, 12)) for o in one.origins]
            expected = np.stack(expected, axis=1)
            np.testing.assert_allclose(maps_of(one.attention), expected, atol=1e-12)
            maps, tokens = block(maps, tokens)
            shares = read_shares(block.projectors[0], seen, tokens[0][0].numpy().T)
            np.testing.assert_allclose(maps_of(one.reads), shares, atol=1e-12)


def test_v4_extracts_all_tokens_anew():
    vt = stack(2, revision="v4")
    x = torch.randn(1, 8, 3, 4).double()
    with torch.no_grad(), capture_tokens(vt) as captured:
        vt([x])
        maps, tokens = vt.blocks[0]([x])
    assert captured[1].origins == ((2, 1), (2, 2), (2, 3), (2, 4), (2, 5))
    query_input = tokens[0][0].numpy().T
    expected = recurrent_attention(vt.blocks[1].tokenizers[0], pixels(maps[0][0]), query_input)
    maps = maps_of(captured[1].attention)
    np.testing.assert_allclose(maps, expected.transpose(0, 2, 1), atol=1e-12)


@pytest.mark.parametrize("tokenizer", ["filter", "pooling", "clustering"])
@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_attention_and_shares_of_every_tokenizer_sum_to_one(tokenizer, revision):
    vt = stack(2, tokenizer=tokenizer, revision=revision, recurrent=False)
    with torch.no_grad(), capture_tokens(vt) as captured:
        vt([torch.randn(2, 8, 6, 5).double()])
    for number, one in enumerate(captured, start=1):
        assert one.attention.shape == (2, 1, 5, 6, 5)
        assert one.origins == tuple((number, i) for i in range(1, 6))
        torch.testing.assert_close(one.attention.sum((-2, -1)), torch.ones(2, 1, 5).double())
        torch.testing.assert_close(one.reads.sum(2), torch.ones(2, HEADS, 6, 5).double())


def test_levels_of_different_sizes_and_numbers_of_tokens():
    neck = VTFPN([4, 6], 8, replace(SMALL, num_tokens=(2, 3), projector_reads="all"))
    features = [torch.randn(1, 4, 7, 5), torch.randn(1, 6, 4, 3)]
    with torch.no_grad(), capture_tokens(neck) as captured:
        neck(features)
    fine, coarse = captured
    assert (fine.stack, fine.level, coarse.level) == ("stack", "map1", "map2")
    # All five tokens are read at both levels.
    for one, tokens, size in ((fine, 2, (7, 5)), (coarse, 3, (4, 3))):
        assert one.attention.shape == (1, 1, tokens, *size)
        assert one.reads.shape == (1, HEADS, 5, *size)
        assert one.read_names == ("map1/1", "map1/2", "map2/1", "map2/2", "map2/3")
    assert fine.names + coarse.names == fine.read_names


def test_own_tokens_are_read_by_default_and_none_without_a_projector():
    vt = stack(2, projector=False, num_tokens=4)
    with torch.no_grad(), capture_tokens(vt) as captured:
        vt([torch.randn(1, 8, 3, 4).double()])
    assert (captured[0].reads, captured[0].read_names) == (None, ())
    assert captured[1].read_names == captured[1].names == tuple(f"map1/{i}" for i in range(1, 5))


def test_capture_leaves_the_model_as_it_was():
    vt = wake(stack(2, num_tokens=4))
    x = torch.randn(1, 8, 4, 4).double()
    before = vt([x])[0][0]
    with capture_tokens(vt) as captured:
        during = vt([x])[0][0]
        assert len(captured) == 2
        vt([x])
        assert len(captured) == 4
    assert torch.equal(vt([x])[0][0], before)
    assert torch.equal(during, before)
    assert len(captured) == 4
    assert not captured[0].attention.requires_grad
    with capture_tokens(vt), pytest.raises(RuntimeError):
        vt([x.float()])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in vt.modules())
    # What a failed call left behind does not matter to the next one.
    with capture_tokens(vt) as captured:
        with pytest.raises(RuntimeError):
            vt([x[:, :4]])
        vt([x])
    assert [one.layer for one in captured] == [1, 2]


def test_names_of_stacks_and_levels_in_detectron2_models():
    model = build_model(small_cfg("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone")).eval()
    with torch.no_grad(), capture_tokens(model) as captured:
        model([{"image": torch.rand(3, 40, 72) * 255}])
    assert [(one.stack, one.layer, one.level) for one in captured] == [
        ("backbone.res5.stack", 1, "res5"),
        ("backbone.res5.stack", 2, "res5"),
        *(("sem_seg_head.neck.stack", 1, level) for level in RES),
    ]
    # Stride 16 twice (VT-ResNet's res5 has res4's), no padding: 72 / 16 rounded up.
    sizes = [tuple(one.attention.shape[-2:]) for one in captured]
    assert sizes == [(3, 5), (3, 5), (10, 18), (5, 9), (3, 5), (3, 5)]


def test_model_without_visual_transformers_is_refused():
    refusal = pytest.raises(ValueError, match=r"Sequential has no VT layer.*VTFPNHead.*VT-ResNet")
    with refusal, capture_tokens(nn.Sequential(nn.Identity())):
        pass
