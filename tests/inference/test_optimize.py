"""optimize(): the same predictions as the plain model, and refusals of what it does not know."""

import copy

import pytest
import torch
from detectron2.layers import Conv2d
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_model
from torch import nn
from torch.nn.parallel import DataParallel

from tests.modeling.conftest import sem_seg_batch, wake
from tests.small_configs import PYRAMID, RES, small_cfg
from vt_seg.data.augmentations.affine_warp import centred_matrix
from vt_seg.inference import OptimizedSegmentor, optimize
from vt_seg.modeling import VTFPNHead

from .test_label_map import assert_is_argmax

KINDS = ["SemanticSegmentor", "PaddingAwareSegmentor", "UnwarpingSemanticSegmentor"]
STOCK = ["MODEL.SEM_SEG_HEAD.IN_FEATURES", PYRAMID, "MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNHead"]
FPN = [*STOCK, "MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"]
HEADS = {
    "VT-FPN": [],
    "VT-FPN with options": [
        *("MODEL.VT_FPN.TOP_DOWN", True, "MODEL.VT_FPN.OUTPUT_CONV", "depthwise"),
        *("MODEL.VT_FPN.ZERO_INIT", "none"),
    ],
    "FPN": [*FPN, "MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNLossHead", "MODEL.FPN.NORM", "BN"],
    "Detectron2's FPN": [*FPN, "MODEL.RESNETS.NORM", "FrozenBN"],
    "VT-FPN backbone": [
        *(*STOCK, "MODEL.BACKBONE.NAME", "build_resnet_vt_fpn_backbone"),
        *("MODEL.SEM_SEG_HEAD.NORM", "BN"),
    ],
    "VT-ResNet": [
        *("MODEL.BACKBONE.NAME", "build_vt_resnet_backbone", "MODEL.SEM_SEG_HEAD.NORM", "BN"),
    ],
    "DeepLab's stride": [
        *("MODEL.SEM_SEG_HEAD.COMMON_STRIDE", 16, "MODEL.CHANNELS_LAST", True),
        *("MODEL.SEM_SEG_HEAD.NORM", ""),
    ],
    "one level": ["MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res4"]],
}


def make_model(*keys, kind="PaddingAwareSegmentor", seed=0):
    """Return a small model with random weights and non-trivial statistics of its batch norms."""
    torch.manual_seed(seed)
    model = wake(build_model(small_cfg("MODEL.META_ARCHITECTURE", kind, *keys)))
    norms = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.momentum = None  # averages the statistics of the batches that follow
    with torch.no_grad():
        for size in ((64, 96), (96, 64)):
            model.train()(sem_seg_batch(size, size))
    for norm in norms:
        norm.running_mean += torch.randn_like(norm.running_mean) * 0.2
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4)
    return model.eval()


def predict(model, batch):
    with torch.no_grad():
        return [output["sem_seg"] for output in model(batch)]


def balance(model, batch):
    """Shift the classes' biases so that no class has nearly all pixels."""
    mean = torch.stack([x.mean(dim=(1, 2)) for x in predict(model, batch)]).mean(0)
    with torch.no_grad():
        model.sem_seg_head.predictor.bias -= mean.to(model.sem_seg_head.predictor.bias)
    assert all(len(x.argmax(0).unique()) > 1 for x in predict(model, batch))


def assert_same_predictions(model, batch, tolerance):
    """Logits and labels of the optimized model are those of the plain one."""
    balance(model, batch)
    optimized = optimize(model)
    assert isinstance(optimized, OptimizedSegmentor)
    expected = predict(model, batch)
    logits, labels = predict(optimized, batch), optimized.predict_labels(batch)
    for record, plain, fast, label_map in zip(batch, expected, logits, labels, strict=True):
        bound = tolerance * float(plain.max() - plain.min())
        torch.testing.assert_close(fast, plain, rtol=0, atol=bound)
        assert label_map.shape == plain.shape[1:]
        assert label_map.dtype == torch.long
        if (record.get("height"), record.get("width")) in (record["image"].shape[1:], (None, None)):
            assert_is_argmax(label_map, plain, rtol=tolerance)
        else:  # interpolated once: other labels at some boundaries
            assert (label_map == plain.argmax(0)).double().mean() > 0.93


@pytest.mark.parametrize(("classes", "seed"), [(54, 0), (54, 1), (171, 0)])
@pytest.mark.parametrize("name", HEADS)
def test_predictions_are_those_of_the_plain_model(name, classes, seed):
    """Of random weights, at odd sizes, in single and double precision."""
    model = make_model(*HEADS[name], "MODEL.SEM_SEG_HEAD.NUM_CLASSES", classes, seed=seed)
    batch = sem_seg_batch((65, 97), (65, 97), (50, 33))
    del batch[1]["height"], batch[1]["width"]
    assert_same_predictions(model, batch, 1e-4)
    if classes == 54:
        assert_same_predictions(model.double(), batch, 1e-9)


@pytest.mark.parametrize("common_stride", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("num_classes", [5, 40])  # fewer and more than the 32 channels before
@pytest.mark.parametrize("sizes", [(20, 10, 5, 3), (19, 9, 4, 2)], ids=["ceil", "floor"])
def test_the_order_of_sums_and_upsampling_changes_nothing(common_stride, num_classes, sizes):
    """At any common stride, also of maps of a backbone that rounds down, which are stretched."""
    keys = ["MODEL.SEM_SEG_HEAD.COMMON_STRIDE", common_stride]
    model = make_model(*keys, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", num_classes).double()
    shapes = model.backbone.output_shape()
    features = {
        name: torch.randn(2, shapes[name].channels, side, side + 1, dtype=torch.float64)
        for name, side in zip(RES, sizes, strict=True)
    }
    expected = model.sem_seg_head.layers(features)
    logits = optimize(model).segmentor.sem_seg_head(features)
    assert features == {}  # they can be freed
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


def test_tokens_can_be_replaced_where_the_head_alone_has_some():
    names = [name for name in HEADS if optimize(make_model(*HEADS[name])).has_replaceable_tokens]
    assert names == ["VT-FPN", "VT-FPN with options", "DeepLab's stride", "one level"]


@pytest.mark.parametrize("kind", KINDS)
def test_resized_and_warped_outputs_and_mixed_sizes_are_those_of_the_plain_model(kind):
    model = make_model(kind=kind).double()
    batch = sem_seg_batch((64, 96), (50, 70), (64, 96), (48, 48))
    batch[0].update(height=128, width=201)
    batch[1].update(height=41, width=33)
    batch[3].update(height=40, width=52, warp=centred_matrix((40, 52), (48, 48), 1.2, 20))
    assert_same_predictions(model, batch, 1e-9)


@pytest.mark.parametrize("keys", [[], ["MODEL.VT_FPN.NUM_LAYERS", 2, "MODEL.VT_FPN.NORM", "GN"]])
def test_norms_that_are_no_batch_norms_stay(keys):
    norms = ["MODEL.SEM_SEG_HEAD.NORM", "GN", "MODEL.RESNETS.NORM", "LN"]
    model = make_model(*norms, *keys)
    kinds = {type(module).__name__ for module in optimize(model).modules()}
    assert {"GroupNorm", "LayerNorm"} <= kinds
    assert_same_predictions(model, sem_seg_batch((33, 65)), 1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_no_batch_norm_on_a_map_is_left(name):
    optimized = optimize(make_model(*HEADS[name]))
    names = [n for n, m in optimized.named_modules() if "BatchNorm" in type(m).__name__]
    assert all(".stack." in n for n in names)  # those of the tokens
    assert not any(p.requires_grad for p in optimized.parameters())


def test_half_precision_is_as_near_as_the_plain_model():
    model = make_model()
    batch = sem_seg_batch((64, 96))
    (exact,) = predict(model, batch)
    model.bfloat16()
    batch[0]["image"] = batch[0]["image"].bfloat16()
    (plain,), (fast,) = predict(model, batch), predict(optimize(model), batch)
    assert fast.dtype == torch.float32  # what is interpolated is not rounded again
    error, plain_error = ((x.float() - exact).abs().mean() for x in (fast, plain))
    assert error < 1.5 * plain_error
    (labels,) = optimize(model).predict_labels(batch)
    assert (labels == exact.argmax(0)).double().mean() > 0.9


def test_the_plain_model_stays_as_it_is():
    model = make_model().train()
    before = copy.deepcopy(model.state_dict())
    optimized = optimize(DataParallel(model))
    optimized.predict_labels(sem_seg_batch((64, 96)))
    assert model.training
    assert not optimized.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    loss = model(sem_seg_batch((64, 96), (50, 70)))["loss_sem_seg"]
    loss.backward()
    optimized.double()  # moves its own tensors, none of the model's
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_weights_that_do_not_change_are_shared():
    model = make_model()
    shared = {p.data_ptr() for p in model.parameters()} & {
        p.data_ptr() for p in optimize(model).parameters()
    }
    mixer = model.sem_seg_head.neck.stack.blocks[0].mixer
    assert {p.data_ptr() for p in mixer.parameters()} <= shared


def test_an_optimized_segmentor_refuses_training():
    optimized = optimize(make_model())
    with pytest.raises(RuntimeError, match="for evaluation only: train the model that optimize"):
        optimized.train()
    assert optimized.eval() is optimized


def test_labels_are_the_output_of_a_model_whose_output_is_labels():
    model = make_model("MODEL.SEM_SEG_HEAD.OUTPUT", "labels")
    batch = sem_seg_batch((33, 47))
    (plain,), (fast,) = predict(model, batch), predict(optimize(model), batch)
    assert torch.equal(fast, plain)


@SEM_SEG_HEADS_REGISTRY.register()
class ScaledLogitsHead(VTFPNHead):
    """A head whose ``forward`` does more than upsample ``layers``."""

    def forward(self, *args, **kwargs):
        logits, losses = super().forward(*args, **kwargs)
        return None if logits is None else 2 * logits, losses


class LoRA(nn.Module):
    """A wrapper in the place of a convolution."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return 3 * self.conv(x)


def test_models_that_are_no_semantic_segmentors_are_refused():
    with pytest.raises(ValueError, match=r"takes semantic segmentors \(.*\), not Linear"):
        optimize(nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"knows the heads VTFPNHead, .*, not ScaledLogitsHead"):
        optimize(make_model("MODEL.SEM_SEG_HEAD.NAME", "ScaledLogitsHead"))


@pytest.mark.parametrize(
    "register",
    [
        lambda module: module.register_forward_hook(lambda *_: None),
        lambda module: module.register_forward_pre_hook(lambda *_: None),
        lambda module: module.register_full_backward_hook(lambda *_: None),
    ],
)
@pytest.mark.parametrize("name", ["", "backbone.stem.conv1", "sem_seg_head.neck.laterals.0.1"])
def test_hooks_are_refused(register, name):
    model = make_model()
    register(model.get_submodule(name))
    with pytest.raises(ValueError, match=f"{name or 'the model'} has hooks, which optimize"):
        optimize(model)


def test_patched_and_replaced_modules_are_refused():
    model = make_model()
    conv = model.backbone.res2[0].conv1
    conv.forward = lambda x: Conv2d.forward(conv, x) * 2
    with pytest.raises(ValueError, match=r"backbone.res2.0.conv1 has a patched forward"):
        optimize(model)
    model = make_model()
    model.sem_seg_head.predictor = LoRA(model.sem_seg_head.predictor)
    with pytest.raises(ValueError, match=r"sem_seg_head.predictor is a LoRA; optimize\(\) knows"):
        optimize(model)
    model = make_model()
    model.sem_seg_head.scale_heads[1].add_module("0", nn.Conv2d(32, 64, 3, padding=1))
    with pytest.raises(ValueError, match=r"sem_seg_head.res3.0 is a Conv2d"):
        optimize(model)


def test_unknown_modules_of_the_backbone_run_as_they_are():
    model = make_model()
    block = model.backbone.res3[0]
    block.conv1 = LoRA(block.conv1)
    block.conv2 = nn.utils.parametrizations.weight_norm(block.conv2)
    assert_same_predictions(model, sem_seg_batch((64, 96)), 1e-4)


def test_a_convolution_in_two_places_is_not_folded():
    model = make_model()
    shared = nn.Conv2d(32, 32, 1)
    model.backbone.extra = nn.Sequential(shared, nn.BatchNorm2d(32), shared, nn.BatchNorm2d(32))
    with torch.no_grad():
        for norm in (model.backbone.extra[1], model.backbone.extra[3]):
            norm.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 32, 5, 5)
    expected = model.eval().backbone.extra(x)
    got = optimize(model).segmentor.backbone.extra(x)
    torch.testing.assert_close(got, expected)


def test_timm_backbones_are_taken():
    pytest.importorskip("timm")
    keys = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "resnet18"]
    model = make_model(*keys)
    assert model.backbone.output_shape().keys() == set(RES)
    assert_same_predictions(model, sem_seg_batch((64, 96)), 1e-4)


class ByIndex(nn.Module):
    """A backbone that calls the convolution of a Sequential alone."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        self.size_divisibility = backbone.size_divisibility
        self.padding_constraints = backbone.padding_constraints

    def forward(self, x):
        return self.backbone(x + self.first[0](x))


def test_norms_that_are_not_applied_are_not_folded():
    model = make_model()
    model.backbone = ByIndex(model.backbone).eval()
    nn.init.constant_(model.backbone.first[1].running_var, 4.0)
    assert_same_predictions(model.double(), sem_seg_batch((61, 47)), 1e-9)


def test_replaced_parts_of_a_projector_are_called():
    class Sharper(nn.Module):
        def forward(self, x):
            return (3 * x).softmax(2)

    for name, part in (("token_softmax", Sharper()), ("drop_path", nn.Hardtanh(-0.01, 0.01))):
        model = make_model()
        for projector in model.sem_seg_head.neck.stack.blocks[0].projectors:
            setattr(projector, name, part)
        assert_same_predictions(model.double(), sem_seg_batch((61, 47)), 1e-9)


def test_predictors_in_groups_are_refused():
    model = make_model()
    channels = model.sem_seg_head.predictor.in_channels
    model.sem_seg_head.predictor = Conv2d(channels, 6, 1, groups=2)
    with pytest.raises(ValueError, match="more than a 1x1 convolution"):
        optimize(model)
