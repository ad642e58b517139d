"""Config keys of the Visual Transformers: each reaches the layers, in both nodes."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone

from tests.modeling.conftest import wake
from tests.small_configs import small_cfg
from vt_seg.layers import VisualTransformerStack
from vt_seg.modeling.layer_arguments import visual_transformer_arguments
from vt_seg.modeling.vt_fpn_neck import build_vt_fpn_neck

SHAPES = [ShapeSpec(channels=8 * 2**i, stride=4 * 2**i) for i in range(3)]
NODES = ("VT_FPN", "VT_RESNET")


def cfg_of(node: str, *settings):
    """Two layers in either node; settings are of the node, then."""
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_vt_resnet_backbone"
    for key, value in {"NUM_LAYERS": 2, **dict(settings)}.items():
        cfg.MODEL[node][key] = value
    return cfg


def stack_of(node: str, *settings) -> VisualTransformerStack:
    cfg = cfg_of(node, *settings)
    with torch.device("meta"):
        if node == "VT_FPN":
            return build_vt_fpn_neck(cfg, SHAPES).stack
        return build_backbone(cfg).res5.stack


def tokenizer(stack, layer=0):
    return stack.blocks[layer].tokenizers[0]


def kind(module):
    return type(module).__name__


# Key: a value that is not the default, what the layers should show, and where.
KEYS = {
    "NUM_TOKENS": (6, 6, lambda stack: tokenizer(stack).attention_filter.out_channels),
    "TOKEN_CHANNELS": (96, 96, lambda stack: tokenizer(stack).to_token_channels.conv.out_channels),
    "NUM_HEADS": (
        8,
        [8, 8, 8],
        lambda stack: [
            stack.blocks[0].mixer.relate[0].num_heads,
            stack.blocks[0].projectors[0].num_heads,
            tokenizer(stack, 1).num_heads,
        ],
    ),
    "PIXEL_GROUPS": (
        4,
        [4, 4, 4],
        lambda stack: [
            tokenizer(stack).value.conv.groups,
            tokenizer(stack, 1).key.groups,
            stack.blocks[0].projectors[0].query.groups,
        ],
    ),
    "TOKEN_GROUPS": (4, 4, lambda stack: stack.blocks[0].mixer.relate[0].key.conv.groups),
    "TOKENIZER": ("pooling", "PoolingTokenizer", lambda stack: kind(tokenizer(stack))),
    "RECURRENT": (False, "FilterTokenizer", lambda stack: kind(tokenizer(stack, 1))),
    "MIXER": ("graph_conv", "GraphConv", lambda stack: kind(stack.blocks[0].mixer.relate[0])),
    "PARALLEL_MIXERS": (3, 3, lambda stack: len(stack.blocks[1].mixer.relate)),
    "PROJECTOR": (
        False,
        [False, True],
        lambda stack: [block.projectors is not None for block in stack.blocks],
    ),
    "POSITIONAL_ENCODING": (False, "NoneType", lambda stack: kind(tokenizer(stack).position_encoder)),
    "POSITION_SIZE": (8, 8, lambda stack: tokenizer(stack).position_encoder.size),
    "POSITION_DOWNSAMPLES": (
        2,
        9,
        lambda stack: tokenizer(stack).position_encoder.out_channels,
    ),
    "REVISION": ("v4", "NoneType", lambda stack: kind(tokenizer(stack).value)),
    "NORM": ("GN", "GroupNorm", lambda stack: kind(tokenizer(stack).to_token_channels.norm)),
}
OWN = {
    "VT_FPN": {"NUM_LAYERS", "TOKENS_PER_LEVEL", "PROJECTOR_READS"},
    "VT_RESNET": {"NUM_LAYERS", "OUT_CHANNELS"},
}


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("key", KEYS)
def test_each_key_reaches_the_layers(node, key):
    value, expected, look = KEYS[key]
    assert look(stack_of(node)) != expected
    assert look(stack_of(node, (key, value))) == expected


@pytest.mark.parametrize("node", NODES)
def test_no_key_is_forgotten(node):
    tested = {*KEYS, "CLUSTERING_STEPS", *OWN[node]}
    assert set(small_cfg().MODEL[node]) == tested


@pytest.mark.parametrize("node", NODES)
def test_clustering_takes_its_steps(node):
    stack = stack_of(node, ("TOKENIZER", "clustering"), ("CLUSTERING_STEPS", 2))
    assert tokenizer(stack).steps == 2
    assert kind(tokenizer(stack, 1)) == "RecurrentTokenizer"


def test_keys_of_the_neck_alone():
    stack = stack_of("VT_FPN", ("TOKENS_PER_LEVEL", (2, 5, 3)), ("PROJECTOR_READS", "all"))
    assert [block.num_tokens for block in stack.blocks] == [[2, 5, 3]] * 2
    assert [block.projector_reads for block in stack.blocks] == ["all"] * 2
    stack = stack_of("VT_FPN")
    assert stack.blocks[0].num_tokens == [4, 4, 4]
    assert stack.blocks[0].projector_reads == "own"
    for layers in (0, 1, 3):
        assert len(stack_of("VT_FPN", ("NUM_LAYERS", layers)).blocks) == layers


def test_yaml_lists_are_taken_as_tokens_per_level(tmp_path):
    cfg = small_cfg()
    (tmp_path / "c.yaml").write_text("MODEL: {VT_FPN: {TOKENS_PER_LEVEL: [2, 5, 3]}}")
    cfg.merge_from_file(str(tmp_path / "c.yaml"))
    assert build_vt_fpn_neck(cfg, SHAPES).stack.blocks[0].num_tokens == [2, 5, 3]
    cfg.merge_from_list(["MODEL.VT_FPN.TOKENS_PER_LEVEL", "(1, 2, 3)"])
    assert build_vt_fpn_neck(cfg, SHAPES).stack.blocks[0].num_tokens == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "mixer"),
    [("pooling", "graph_conv"), ("clustering", "none"), ("filter", "transformer")],
)
def test_necks_of_all_kinds_train(kind, mixer):
    """Unequal numbers of tokens, two layers, parallel branches, both revisions."""
    for revision in ("v1", "v4"):
        cfg = cfg_of(
            "VT_FPN",
            ("TOKENIZER", kind),
            ("MIXER", mixer),
            ("REVISION", revision),
            ("PARALLEL_MIXERS", 2),
            ("TOKENS_PER_LEVEL", (2, 5, 3)),
        )
        neck = wake(build_vt_fpn_neck(cfg, SHAPES))
        maps = [torch.randn(2, s.channels, 64 // s.stride, 96 // s.stride) for s in SHAPES]
        written = neck(maps)
        assert [tuple(y.shape) for y in written] == [(2, 32, *x.shape[-2:]) for x in maps]
        sum(y.square().mean() for y in written).backward()
        assert [n for n, p in neck.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ([("TOKENIZER", "recurrent")], "cannot be the first.*filter, pooling or clustering"),
        ([("NUM_LAYERS", 1), ("PROJECTOR", False)], "projector=False would change nothing"),
        ([("RECURRENT", False), ("PROJECTOR", False)], "would reach nothing"),
        ([("NUM_TOKENS", 1)], "use at least 2 tokens"),
        ([("NUM_TOKENS", 0)], "at least 1"),
        ([("NUM_LAYERS", -1)], "-1 VT layers"),
        ([("MIXER", "mlp")], "mixer 'mlp'.*transformer.*graph_conv.*none"),
        ([("TOKENIZER", "kmeans")], "tokenizer 'kmeans'.*clustering"),
        ([("REVISION", "v2")], "'v2'"),
        ([("PARALLEL_MIXERS", 0)], "0 parallel mixers"),
        ([("PIXEL_GROUPS", 5)], "pixel_groups 5 does not divide 32 channels"),
        ([("NUM_HEADS", 5)], "num_heads 5 does not divide 32 channels"),
        ([("POSITION_SIZE", 7)], "position size 7"),
        ([("TOKENIZER", "clustering"), ("CLUSTERING_STEPS", -1)], "clustering steps -1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_node_and_the_reason(node, settings, reason):
    with pytest.raises(ValueError, match=f"(?s)MODEL.{node}.*{reason}"):
        stack_of(node, *settings)


def test_numbers_of_tokens_must_be_as_many_as_levels():
    with pytest.raises(ValueError, match=r"MODEL.VT_FPN.*numbers of tokens .* for 3 levels"):
        stack_of("VT_FPN", ("TOKENS_PER_LEVEL", (2, 5)))


@pytest.mark.parametrize("node", NODES)
def test_a_config_without_our_keys_says_what_is_missing(node):
    with pytest.raises(ValueError, match=f"MODEL.{node}.*add_vt_seg_config"):
        visual_transformer_arguments(get_cfg(), node)
