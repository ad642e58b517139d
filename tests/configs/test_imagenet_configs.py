"""The 24 ImageNet configs: ResNets and both revisions' VT-ResNets in both recipes.

The paper trains 14 of them, see docs/classification.md.
"""

import itertools
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import ResNet, build_model
from torch import nn
from torchvision.ops import StochasticDepth

from vt_seg.engine import build_lr_scheduler, load_cfg
from vt_seg.modeling import VTResNet

FOLDER = Path(__file__).parents[2] / "configs" / "imagenet"
MODELS = ("resnet", "vtresnet_v1", "vtresnet_v4")
DEPTHS = (18, 34, 50, 101)
RECIPES = ("default", "advanced")
NAMES = [f"{m}_R{d}_{r}" for m, d, r in itertools.product(MODELS, DEPTHS, RECIPES)]
IMAGES = 1_281_167

# Paper v1 Sec. 4.1 and App. B; v4 Sec. 4.
BLOCKS = {18: 2, 34: 3, 50: 3, 101: 3}
TOKENS = {"vtresnet_v1": 8, "vtresnet_v4": 16}
CHANNELS = {
    "vtresnet_v1": {18: 512, 34: 512, 50: 1024, 101: 1024},
    "vtresnet_v4": {18: 256, 34: 256, 50: 1024, 101: 1024},
}


def load(name):
    return load_cfg(str(FOLDER / f"{name}.yaml"))


def test_the_folder_has_these_and_no_others():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(NAMES)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_leaves_compose_bases_and_say_nothing_else(model, depth, recipe):
    """One source for each number: a leaf is its bases and its output folder."""
    parts = [f"model_{model}", f"depth_{depth}", f"recipe_{recipe}"]
    if recipe == "advanced" and model != "vtresnet_v1":  # v1 does not distil
        parts.append("distillation_v4")
    name = f"{model}_R{depth}_{recipe}"
    assert (FOLDER / f"{name}.yaml").read_text().splitlines() == [
        "_BASE_: [" + ", ".join(f'"base/{part}.yaml"' for part in parts) + "]",
        f'OUTPUT_DIR: "output/imagenet/{name}"',
    ]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_model_has_the_layers_of_its_family_and_depth(model, depth, recipe):
    cfg = load(f"{model}_R{depth}_{recipe}")
    for dataset in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        assert dataset in DatasetCatalog.list()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        network = build_model(cfg)
    backbone, linear = network.backbone, network.classifier.linear
    norms = {"default": nn.BatchNorm2d, "advanced": nn.SyncBatchNorm}
    assert type(backbone.stem.conv1.norm) is norms[recipe]
    assert [len(stage) for stage in backbone.stages[:3]] == {
        18: [2, 2, 2],
        34: [3, 4, 6],
        50: [3, 4, 6],
        101: [3, 4, 23],
    }[depth]
    assert linear.out_features == 1000
    assert all(p.requires_grad for p in network.parameters())

    if model == "resnet":
        assert type(backbone) is ResNet
        assert linear.in_features == (512 if depth < 50 else 2048)
        return
    assert type(backbone) is VTResNet
    assert linear.in_features == 1024  # channels of a token
    blocks, channels = backbone.res5.stack.blocks, CHANNELS[model][depth]
    assert len(blocks) == BLOCKS[depth]
    kinds = [type(block.tokenizers[0]).__name__ for block in blocks]
    assert kinds == ["FilterTokenizer"] + ["RecurrentTokenizer"] * (len(blocks) - 1)
    assert blocks[0].tokenizers[0].attention_filter.weight.shape[:2] == (TOKENS[model], channels)
    assert (backbone.res5.adjust is None) == (channels == (256 if depth < 50 else 1024))
    assert [block.projectors is None for block in blocks] == [False] * (len(blocks) - 1) + [True]
    revision, encoding = {"vtresnet_v1": ("v1", True), "vtresnet_v4": ("v4", False)}[model]
    assert revision == cfg.MODEL.VT_RESNET.REVISION
    assert encoding == cfg.MODEL.VT_RESNET.POSITIONAL_ENCODING


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("default")])
def test_default_recipe(name):
    """v4 Sec. 5.1: SGD, Nesterov momentum, 0.1, 90 epochs, a tenth every 30, 4e-5, batch 256."""
    cfg = load(name)
    solver = cfg.SOLVER
    assert (solver.VT_OPTIMIZER, solver.NESTEROV, solver.MOMENTUM) == ("SGD", True, 0.9)
    assert (solver.IMS_PER_BATCH, solver.REFERENCE_WORLD_SIZE) == (256, 8)
    assert (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM, solver.WEIGHT_DECAY_BIAS) == (
        4e-5,
        4e-5,
        None,
    )
    assert round(90 * IMAGES / 256) == solver.MAX_ITER
    assert learning_rates(cfg, [0, 29.9, 30.1, 59.9, 60.1, 89.9]) == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )
    classifier = cfg.MODEL.CLASSIFIER
    assert (classifier.DROPOUT, classifier.LABEL_SMOOTHING) == (0, 0)
    assert classifier.DISTILLATION.TEACHER == ""
    assert (cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH, cfg.INPUT.CLASSIFICATION.AUTO_AUGMENT) == (0, "")
    assert not solver.EMA.ENABLED


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("advanced")])
def test_advanced_recipe(name):
    """v1 Sec. 5.1 and v4 Sec. 5.2."""
    cfg = load(name)
    solver = cfg.SOLVER
    assert (solver.VT_OPTIMIZER, solver.IMS_PER_BATCH) == ("RMSProp", 2048)
    assert round(400 * IMAGES / 2048) == solver.MAX_ITER
    # "0.01 ... increase it to 0.16 in 5 warmup epochs, then ... a factor of 0.9875 per epoch"
    assert learning_rates(cfg, [0, 2.5, 5.01, 5.9, 6.1, 105.9]) == pytest.approx(
        [0.01, 0.085, 0.16, 0.16, 0.16 * 0.9875, 0.16 * 0.9875**100], rel=1e-3
    )
    assert learning_rates(cfg, [399.9]) == pytest.approx([0.16 * 0.9875**394], rel=1e-3)
    assert (solver.EMA.ENABLED, solver.EMA.DECAY) == (True, 0.99985)
    classifier = cfg.MODEL.CLASSIFIER
    assert (classifier.DROPOUT, classifier.LABEL_SMOOTHING) == (0.2, 0.1)
    assert cfg.INPUT.CLASSIFICATION.AUTO_AUGMENT == "imagenet"
    assert cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH == 0.1  # survival 0.9
    teacher = "" if "v1" in name else "fbnetv3_g"
    assert teacher == classifier.DISTILLATION.TEACHER
    assert classifier.DISTILLATION.WEIGHT == 0.8


def test_stochastic_depth_is_in_the_advanced_model():
    cfg = load("vtresnet_v4_R18_advanced")
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg)
    drops = [m.p for m in model.backbone.modules() if isinstance(m, StochasticDepth)]
    # Six residual blocks, two VT modules: mixer and projector, and a mixer that ends in the head.
    assert drops == pytest.approx([0.1 * k / 8 for k in (1, 2, 3, 4, 5, 6, 7, 7, 8)])


def learning_rates(cfg, epochs):
    """After so many epochs of training."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    multiplier = build_lr_scheduler(cfg, optimizer)._multiplier
    per_epoch = IMAGES / cfg.SOLVER.IMS_PER_BATCH
    return [cfg.SOLVER.BASE_LR * multiplier(e * per_epoch / cfg.SOLVER.MAX_ITER) for e in epochs]


def test_both_families_and_the_baseline_have_one_recipe():
    """What is compared differs in the model alone."""
    ours, baseline = load("vtresnet_v4_R50_advanced"), load("resnet_R50_advanced")
    for cfg in (ours, baseline):
        cfg.OUTPUT_DIR = cfg.MODEL.BACKBONE.NAME = cfg.MODEL.CLASSIFIER.IN_FEATURE = ""
        cfg.MODEL.RESNETS.OUT_FEATURES = []
        del cfg.MODEL["VT_RESNET"]
    assert ours == baseline
