"""Config keys of the Visual Transformers: each reaches the layers, from both nodes."""

from dataclasses import replace

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from detectron2.utils import logger

from tests.small_configs import small_cfg
from vt_seg import add_vt_seg_config
from vt_seg.config_file import merge_config_file, merge_overrides
from vt_seg.layers import VisualTransformerStack, VTConfig
from vt_seg.modeling.vt_config import build_vt_fpn_neck, vt_config

SHAPES = [ShapeSpec(channels=8 * 2**i, stride=4 * 2**i) for i in range(3)]
NODES = ("VT_FPN", "VT_RESNET")

# A value of each shared key that is not the default.
KEYS = {
    **{"NUM_LAYERS": 3, "NUM_TOKENS": 6, "TOKEN_CHANNELS": 96, "REVISION": "v4"},
    **{"NUM_HEADS": 8, "PIXEL_GROUPS": 4, "TOKEN_GROUPS": 4},
    **{"TOKENIZER": "clustering", "CLUSTERING_STEPS": 2, "RECURRENT": False},
    **{"MIXER": "graph_conv", "PARALLEL_MIXERS": 3, "PROJECTOR": False, "ZERO_INIT": "none"},
    **{"POSITIONAL_ENCODING": False, "POSITION_SIZE": 8, "POSITION_DOWNSAMPLES": 2},
}
OWN = {
    "VT_FPN": {"TOKENS_PER_LEVEL", "PROJECTOR_READS", "TOP_DOWN", "OUTPUT_CONV"},
    "VT_RESNET": {"OUT_CHANNELS"},
}


def cfg_with(node: str, **settings):
    cfg = small_cfg("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone")
    for key, value in settings.items():
        cfg.MODEL[node][key] = value
    return cfg


def stack_of(node: str, **settings) -> VisualTransformerStack:
    """Build the stack of either node, of two layers unless the settings tell."""
    cfg = cfg_with(node, **{"NUM_LAYERS": 2, **settings})
    with torch.device("meta"):
        if node == "VT_FPN":
            return build_vt_fpn_neck(cfg, SHAPES).stack
        return build_backbone(cfg).res5.stack


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("key", KEYS)
def test_each_key_is_the_hyper_parameter_of_its_name(node, key):
    before = vt_config(cfg_with(node, NUM_LAYERS=2), node)
    after = vt_config(cfg_with(node, **{"NUM_LAYERS": 2, key: KEYS[key]}), node)
    assert after == replace(before, **{key.lower(): KEYS[key]}) != before


@pytest.mark.parametrize("node", NODES)
def test_no_key_is_forgotten_and_defaults_are_those_of_vtconfig(node):
    assert set(small_cfg().MODEL[node]) == {*KEYS, *OWN[node], "NORM", "POSITION_CODE"}
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    assert vt_config(cfg, node, num_layers=1) == VTConfig()


def test_keys_of_the_neck_alone():
    cfg = cfg_with("VT_FPN", TOKENS_PER_LEVEL=(2, 5, 3), PROJECTOR_READS="all")
    config = vt_config(cfg, "VT_FPN")
    assert (config.num_tokens, config.projector_reads) == ((2, 5, 3), "all")
    (vt,) = build_vt_fpn_neck(cfg, SHAPES).stack.blocks
    assert (vt.num_tokens, vt.projector_reads) == ([2, 5, 3], "all")
    cfg.merge_from_list(["MODEL.VT_FPN.TOKENS_PER_LEVEL", "[1, 2, 3]"])
    assert vt_config(cfg, "VT_FPN").num_tokens == (1, 2, 3)


@pytest.mark.parametrize("node", NODES)
def test_norms_and_layers_are_built_as_the_config_says(node):
    stack = stack_of(node, NUM_LAYERS=3, NORM="LN", NUM_TOKENS=6, TOKEN_CHANNELS=96)
    assert len(stack.blocks) == 3
    assert {tuple(set(vt.num_tokens)) for vt in stack.blocks} == {(6,)}
    last = stack.blocks[1].tokenizers[0].to_token_channels
    assert (type(last.norm).__name__, last.conv.out_channels) == ("LayerNorm", 96)
    assert stack_of(node, NORM="").blocks[0].tokenizers[0].to_token_channels.norm is None


@pytest.mark.parametrize("node", NODES)
def test_old_name_of_positional_encoding_is_taken_with_a_warning(node, tmp_path, log):
    logger._LOG_COUNTER.clear()  # the warning is given once
    old, new = f"MODEL.{node}.POSITION_CODE", f"MODEL.{node}.POSITIONAL_ENCODING"
    (tmp_path / "c.yaml").write_text(f"MODEL: {{{node}: {{POSITION_CODE: False}}}}")
    stock, loaded, overridden = (small_cfg() for _ in range(3))
    stock.merge_from_file(str(tmp_path / "c.yaml"))
    merge_config_file(loaded, str(tmp_path / "c.yaml"))
    merge_overrides(overridden, [old, "False"])
    for cfg in (stock, loaded, overridden):
        assert not vt_config(cfg, node, num_layers=1).positional_encoding
    assert f"{old} False is taken, and is an old key: write {new} False" in log.text
    for cfg in (loaded, overridden):
        assert not cfg.MODEL[node].POSITIONAL_ENCODING
        merge_overrides(cfg, [new, "True"])
        assert vt_config(cfg, node, num_layers=1).positional_encoding
    with pytest.raises(ValueError, match=f"{new} is given a whole number"):
        merge_overrides(loaded, [old, "7"])


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"TOKENIZER": "recurrent"}, "cannot be the first.*filter, pooling or clustering"),
        ({"NUM_LAYERS": 1, "PROJECTOR": False}, "projector=False would change nothing"),
        ({"RECURRENT": False, "PROJECTOR": False}, "would reach nothing"),
        ({"NUM_LAYERS": -1}, "num_layers -1"),
        ({"MIXER": "mlp"}, "mixer 'mlp'.*transformer.*graph_conv.*none"),
        ({"PIXEL_GROUPS": 5}, "pixel_groups 5 does not divide 32 channels"),
        ({"POSITION_SIZE": 7}, "position size 7"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_node_and_reason(node, settings, reason):
    with pytest.raises(ValueError, match=f"(?s)MODEL.{node}.*{reason}"):
        stack_of(node, **settings)


@pytest.mark.parametrize("node", NODES)
def test_a_config_without_our_keys_is_refused_with_the_fix(node):
    with pytest.raises(ValueError, match=f"MODEL.{node}.*add_vt_seg_config"):
        vt_config(get_cfg(), node)
