"""The 24 ImageNet configs: ResNets and both revisions' VT-ResNets with both recipes.

The paper trains 14 of them, see docs/classification.md.
"""

import itertools

import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import ResNet
from torch import nn
from torchvision.ops import StochasticDepth

from vt_seg.engine import build_lr_scheduler
from vt_seg.modeling import VTResNet

from .config_files import CONFIGS, build, differing_keys, load

FOLDER = CONFIGS / "imagenet"
MODELS = ("resnet", "vtresnet_v1", "vtresnet_v4")
VARIANTS = list(itertools.product(MODELS, (18, 34, 50, 101), ("default", "advanced")))
NAMES = ["{}_R{}_{}".format(*variant) for variant in VARIANTS]
IMAGES = 1_281_167

STAGES = {18: [2, 2, 2], 34: [3, 4, 6], 50: [3, 4, 6], 101: [3, 4, 23]}


def test_folder_contains_these_configs_and_no_others():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(NAMES)


@pytest.mark.parametrize(("model", "depth", "recipe"), VARIANTS)
def test_configs_only_combine_bases(model, depth, recipe):
    parts = [f"model_{model}", f"depth_{depth}", f"recipe_{recipe}"]
    if recipe == "advanced" and model != "vtresnet_v1":  # v1 does not distil.
        parts.append("distillation_v4")
    name = f"{model}_R{depth}_{recipe}"
    assert (FOLDER / f"{name}.yaml").read_text().splitlines() == [
        "_BASE_: [" + ", ".join(f'"base/{part}.yaml"' for part in parts) + "]",
        f'OUTPUT_DIR: "output/imagenet/{name}"',
    ]


@pytest.mark.parametrize(("model", "depth", "recipe"), VARIANTS)
def test_model_has_the_layers_of_its_family_and_depth(model, depth, recipe):
    cfg = load(f"imagenet/{model}_R{depth}_{recipe}")
    assert set(cfg.DATASETS.TRAIN + cfg.DATASETS.TEST) <= set(DatasetCatalog.list())
    network = build(cfg)
    backbone, linear = network.backbone, network.classifier.linear
    norms = {"default": nn.BatchNorm2d, "advanced": nn.SyncBatchNorm}
    assert type(backbone.stem.conv1.norm) is norms[recipe]
    assert [len(stage) for stage in backbone.stages[:3]] == STAGES[depth]
    assert linear.out_features == 1000
    assert all(p.requires_grad for p in network.parameters())

    if model == "resnet":
        assert type(backbone) is ResNet
        assert linear.in_features == (512 if depth < 50 else 2048)
        return
    assert type(backbone) is VTResNet
    assert linear.in_features == 1024  # These are the channels of a token.
    # Paper v1 Sec. 4.1 and App. B; v4 Sec. 4.
    is_v1, blocks = model == "vtresnet_v1", backbone.res5.stack.blocks
    assert len(blocks) == (2 if depth == 18 else 3)
    num_tokens, channels = (8 if is_v1 else 16), (512 if is_v1 else 256) if depth < 50 else 1024
    kinds = [type(block.tokenizers[0]).__name__ for block in blocks]
    assert kinds == ["FilterTokenizer"] + ["RecurrentTokenizer"] * (len(blocks) - 1)
    assert blocks[0].tokenizers[0].attention_filter.weight.shape[:2] == (num_tokens, channels)
    assert (backbone.res5.adjust is None) == (channels == (256 if depth < 50 else 1024))
    assert [block.projectors is None for block in blocks] == [False] * (len(blocks) - 1) + [True]
    node = cfg.MODEL.VT_RESNET
    assert (model[-2:], is_v1) == (node.REVISION, node.POSITIONAL_ENCODING)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("default")])
def test_default_recipe(name):
    """v4 Sec. 5.1: SGD, Nesterov momentum, 0.1, 90 epochs, a tenth every 30, 4e-5, batch 256."""
    cfg = load(f"imagenet/{name}")
    solver, classifier = cfg.SOLVER, cfg.MODEL.CLASSIFIER
    assert (solver.VT_OPTIMIZER, solver.NESTEROV, solver.MOMENTUM) == ("SGD", True, 0.9)
    assert (solver.IMS_PER_BATCH, solver.REFERENCE_WORLD_SIZE) == (256, 8)
    assert (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM) == (4e-5, 4e-5)
    assert solver.WEIGHT_DECAY_BIAS is None
    assert round(90 * IMAGES / 256) == solver.MAX_ITER
    assert learning_rates(cfg, [0, 29.9, 30.1, 59.9, 60.1, 89.9]) == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )
    assert (classifier.DROPOUT, classifier.LABEL_SMOOTHING) == (0, 0)
    assert classifier.DISTILLATION.TEACHER == ""
    assert (cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH, cfg.INPUT.CLASSIFICATION.AUTO_AUGMENT) == (0, "")
    assert not solver.EMA.ENABLED


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("advanced")])
def test_advanced_recipe(name):
    """v1 Sec. 5.1 and v4 Sec. 5.2."""
    cfg = load(f"imagenet/{name}")
    solver, classifier = cfg.SOLVER, cfg.MODEL.CLASSIFIER
    assert (solver.VT_OPTIMIZER, solver.IMS_PER_BATCH) == ("RMSProp", 2048)
    assert round(400 * IMAGES / 2048) == solver.MAX_ITER
    # "0.01 ... increase it to 0.16 in 5 warmup epochs, then ... a factor of 0.9875 per epoch"
    assert learning_rates(cfg, [0, 2.5, 5.01, 5.9, 6.1, 105.9, 399.9]) == pytest.approx(
        [0.01, 0.085, 0.16, 0.16, 0.16 * 0.9875, 0.16 * 0.9875**100, 0.16 * 0.9875**394], rel=1e-3
    )
    assert (solver.EMA.ENABLED, solver.EMA.DECAY) == (True, 0.99985)
    assert (classifier.DROPOUT, classifier.LABEL_SMOOTHING) == (0.2, 0.1)
    assert cfg.INPUT.CLASSIFICATION.AUTO_AUGMENT == "imagenet"
    assert cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH == 0.1  # The survival probability is 0.9.
    distillation = (classifier.DISTILLATION.TEACHER, classifier.DISTILLATION.WEIGHT)
    assert distillation == ("" if "v1" in name else "fbnetv3_g", 0.8)


def learning_rates(cfg, epochs):
    """Return the learning rates after these numbers of epochs."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    multiplier = build_lr_scheduler(cfg, optimizer)._multiplier
    per_epoch = IMAGES / cfg.SOLVER.IMS_PER_BATCH
    return [cfg.SOLVER.BASE_LR * multiplier(e * per_epoch / cfg.SOLVER.MAX_ITER) for e in epochs]


def test_stochastic_depth_is_in_the_advanced_model():
    model = build(load("imagenet/vtresnet_v4_R18_advanced"))
    drops = [m.p for m in model.backbone.modules() if isinstance(m, StochasticDepth)]
    # Six residual blocks, two VT modules: mixer and projector, and a mixer that ends in the head.
    assert drops == pytest.approx([0.1 * k / 8 for k in (1, 2, 3, 4, 5, 6, 7, 7, 8)])


def test_baseline_has_the_recipe_of_the_vt_resnet():
    ours, baseline = load("imagenet/vtresnet_v4_R50_advanced"), load("imagenet/resnet_R50_advanced")
    differing = differing_keys(ours, baseline)
    assert {key for key in differing if ".VT_RESNET." not in key} == {
        *("OUTPUT_DIR", "MODEL.BACKBONE.NAME", "MODEL.CLASSIFIER.IN_FEATURE"),
        "MODEL.RESNETS.OUT_FEATURES",
    }
