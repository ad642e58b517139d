"""configs/ablations: every row of the paper is there and differs from its base as it says."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from research.ablations.ablation_rows import read_row, read_rows
from research.paper_tables.reported import ABLATION_CONFIGS
from vt_seg.engine import load_cfg
from vt_seg.layers import (
    ClusteringTokenizer,
    FilterTokenizer,
    PoolingTokenizer,
    RecurrentTokenizer,
)

FOLDER = Path(__file__).parents[3] / "configs" / "ablations"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

VT_RESNET_ROWS = {
    "v1_table3_no_transformer": ("v1_base", "MIXER", "none"),
    "v1_table3_no_positional_encoding": ("v1_base", "POSITIONAL_ENCODING", False),
    "v1_table3_no_dynamic": ("v1_base", "RECURRENT", False),
    "v4_table3_pooling": ("v4_base", "TOKENIZER", "pooling"),
    "v4_table3_clustering": ("v4_base", "TOKENIZER", "clustering"),
    "v4_table4_no_recurrent": ("v4_base", "RECURRENT", False),
    "v4_table5_no_mixer": ("v4_base", "MIXER", "none"),
    "v4_table5_graph_conv": ("v4_base", "MIXER", "graph_conv"),
    "v4_table6_32_tokens": ("v4_base", "NUM_TOKENS", 32),
    "v4_table6_64_tokens": ("v4_base", "NUM_TOKENS", 64),
    "v4_table7_no_projector": ("v4_base", "PROJECTOR", False),
}
BASES = {"v1_base", "v4_base"}
CONTROLS = {"control_resnet", "control_no_stage5"}


def load(name):
    return load_cfg(str(FOLDER / f"{name}.yaml"))


def build(cfg):
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        return build_model(cfg)


def flat(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differing(cfg, base):
    before = dict(flat(base))
    return {key: value for key, value in flat(cfg) if before[key] != value}


def test_every_row_of_the_paper_is_there():
    assert set(NAMES) == BASES | CONTROLS | set(VT_RESNET_ROWS)
    assert set(ABLATION_CONFIGS.values()) == set(VT_RESNET_ROWS)


@pytest.mark.parametrize("name", VT_RESNET_ROWS)
def test_a_row_changes_one_key(name):
    base, key, value = VT_RESNET_ROWS[name]
    row = read_row(str(FOLDER / f"{name}.yaml"))
    assert (row.base, row.changes) == (base, {f"MODEL.VT_RESNET.{key}": value})
    assert differing(load(name), load(base)) == row.changes


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_a_control_keeps_the_recipe_and_the_head(name):
    assert set(differing(load(name), load("v4_base"))) <= {
        "MODEL.BACKBONE.NAME",
        "MODEL.RESNETS.OUT_FEATURES",
        "MODEL.SEM_SEG_HEAD.IN_FEATURES",
    }


def test_the_bases_are_the_papers_models():
    for name, expected in {
        "v1_base": (18, "v1", 16, 512, 1024, 1, True),
        "v4_base": (18, "v4", 16, 256, 1024, 8, False),
    }.items():
        cfg = load(name)
        node = cfg.MODEL.VT_RESNET
        keys = ("REVISION", "NUM_TOKENS", "OUT_CHANNELS", "TOKEN_CHANNELS", "TOKEN_GROUPS")
        found = (cfg.MODEL.RESNETS.DEPTH, *(node[key] for key in keys), node.POSITIONAL_ENCODING)
        assert found == expected
        assert (
            *("filter", True),
            *("transformer", True),
        ) == (node.TOKENIZER, node.RECURRENT, node.MIXER, node.PROJECTOR)


TOKENIZERS = {
    "v1_base": (FilterTokenizer, RecurrentTokenizer),
    "v1_table3_no_dynamic": (FilterTokenizer, FilterTokenizer),
    "v4_table3_pooling": (PoolingTokenizer, RecurrentTokenizer),
    "v4_table3_clustering": (ClusteringTokenizer, RecurrentTokenizer),
    "v4_table4_no_recurrent": (FilterTokenizer, FilterTokenizer),
}


@pytest.mark.parametrize("name", sorted(BASES | CONTROLS | set(VT_RESNET_ROWS)))
def test_a_row_builds_what_it_says(name):
    model = build(load(name))
    names = ["res2", "res3", "res4"] + ["res5"] * (name != "control_no_stage5")
    assert model.sem_seg_head.in_features == names
    strides = [shape.stride for shape in model.backbone.output_shape().values()]
    assert strides == [4, 8, 16, *{"control_resnet": [32], "control_no_stage5": []}.get(name, [16])]
    if name in CONTROLS:
        return
    blocks = model.backbone.res5.stack.blocks
    assert len(blocks) == 2
    kinds = tuple(type(block.tokenizers[0]) for block in blocks)
    assert kinds == TOKENIZERS.get(name, (FilterTokenizer, RecurrentTokenizer))
    # Where a map is wanted the last projector stays.
    no_projector = name == "v4_table7_no_projector"
    assert [block.projectors is None for block in blocks] == [no_projector, False]


def test_rows_come_after_their_base():
    rows = read_rows([str(FOLDER / f"{name}.yaml") for name in NAMES])
    assert sorted(row.name for row in rows) == NAMES
    assert [row.name for row in rows if row.base is None] == sorted(BASES)
    last_base = None
    for row in rows:
        last_base = last_base if row.base else row.name
        assert row.base in (None, last_base)


def test_a_row_brings_its_base(tmp_path):
    rows = read_rows([str(FOLDER / "v4_table3_pooling.yaml")])
    assert [row.name for row in rows] == ["v4_base", "v4_table3_pooling"]

    (tmp_path / "v4_base.yaml").write_text("SEED: 1\n")
    with pytest.raises(ValueError, match="have the same name, and so the same row and folder"):
        read_rows([str(FOLDER / "v4_base.yaml"), str(tmp_path / "v4_base.yaml")])
    (tmp_path / "row.yaml").write_text('_BASE_: "v4_base.yaml"\n')
    (tmp_path / "row_of_row.yaml").write_text('_BASE_: "row.yaml"\n')
    with pytest.raises(ValueError, match="let a row inherit the base that it is compared with"):
        read_rows([str(tmp_path / "row_of_row.yaml")])
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match=r"list.yaml is not a config: its YAML is no mapping"):
        read_rows([str(tmp_path / "list.yaml")])
