import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_model
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead

from tests.modeling.conftest import sem_seg_batch, wake
from tests.small_configs import PYRAMID, RES, small_cfg
from vt_seg.modeling import SemSegFPNLossHead, VTFPNHead
from vt_seg.modeling.resampling import average_pool, upsample

SHAPES = {name: ShapeSpec(channels=8 * 2**i, stride=4 * 2**i) for i, name in enumerate(RES)}


def head(shapes=SHAPES) -> VTFPNHead:
    return wake(SEM_SEG_HEADS_REGISTRY.get("VTFPNHead")(small_cfg(), shapes))


def maps(height: int, width: int, batch: int = 1, shapes=SHAPES) -> dict[str, torch.Tensor]:
    """Maps of the sizes that a ResNet gives: rounded up at every stride."""
    return {
        name: torch.randn(batch, s.channels, -(-height // s.stride), -(-width // s.stride))
        for name, s in shapes.items()
    }


def test_at_divisible_sizes_the_prediction_is_detectron2s_own():
    """Detectron2's SemSegFPNHead with the same weights on the neck's maps gives the same logits."""
    ours = head().eval()
    shapes = {name: ShapeSpec(channels=32, stride=s.stride) for name, s in SHAPES.items()}
    options = {"num_classes": 5, "conv_dims": 64, "common_stride": 4, "norm": "GN"}
    stock = SemSegFPNHead(shapes, **options).eval()
    weights = {k: v for k, v in ours.state_dict().items() if not k.startswith("neck.")}
    stock.load_state_dict(weights)  # the names are Detectron2's, as they were in older versions
    features = maps(64, 96, batch=2)
    written = dict(zip(RES, ours.neck([features[name] for name in RES]), strict=True))
    torch.testing.assert_close(ours(features)[0], stock(written)[0], rtol=1e-5, atol=1e-5)
    targets = torch.randint(5, (2, 64, 96))
    expected = stock.losses(stock.layers(written), targets)["loss_sem_seg"]
    got = ours.losses(ours.layers(features), targets)["loss_sem_seg"]
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 33), (7, 5), (31, 97), (119, 127), (473, 473), (480, 641)]
)
def test_any_image_size_is_predicted_and_trained(size, batch):
    module = head()
    logits, losses = module.eval()(maps(*size, batch), image_size=size)
    assert logits.shape == (batch, 5, *size)
    assert losses == {}
    none, losses = module.train()(maps(*size, 2), torch.randint(5, (2, *size)))
    assert none is None
    assert losses["loss_sem_seg"].isfinite()


def test_levels_may_have_equal_strides():
    shapes = {**SHAPES, "res5": ShapeSpec(channels=64, stride=16)}
    module = head(shapes).eval()
    assert [len(list(scale.children())) for scale in module.scale_heads] == [1, 1, 2, 2]
    features = maps(75, 53, shapes=shapes)
    assert features["res4"].shape[-2:] == features["res5"].shape[-2:]
    assert module(features, image_size=(75, 53))[0].shape == (1, 5, 75, 53)


def test_odd_sizes_keep_their_place():
    """Upsampling a ramp: pixel y of the image reads feature (y + .5) / 4 - .5 whatever the crop."""
    ramp = torch.arange(30.0).view(1, 1, 30, 1).expand(1, 1, 30, 30)
    got = upsample(ramp, 4, (117, 118))
    assert got.shape == (1, 1, 117, 118)
    expected = ((torch.arange(117) + 0.5) / 4 - 0.5).clamp(0, 29)
    torch.testing.assert_close(got[0, 0, :, 5], expected)


def test_whole_model_pads_nothing_at_odd_sizes():
    """SemanticSegmentor pads nothing at batch one: the model equals backbone + head by hand."""
    model = wake(build_model(small_cfg())).eval()
    assert model.backbone.size_divisibility == 0
    batch = sem_seg_batch((473, 473))
    del batch[0]["sem_seg"]
    with torch.no_grad():
        got = model(batch)[0]["sem_seg"]
        image = (batch[0]["image"] - model.pixel_mean) / model.pixel_std
        assert image.shape == (3, 473, 473)
        by_hand = model.sem_seg_head(model.backbone(image[None]), image_size=(473, 473))[0][0]
    assert got.shape == (5, 473, 473)
    torch.testing.assert_close(got, by_hand, rtol=1e-4, atol=1e-4)


def coarse_head(common_stride: int, shapes=SHAPES) -> VTFPNHead:
    cfg = small_cfg()
    cfg.MODEL.SEM_SEG_HEAD.COMMON_STRIDE = common_stride
    return wake(SEM_SEG_HEADS_REGISTRY.get("VTFPNHead")(cfg, shapes)).double()


def averaged(x, factor, real):
    """Mean of each cell's real pixels, one cell after another; ``real`` is ``(N, 1, h, w)``."""
    height, width = (-(-side // factor) for side in x.shape[-2:])
    out = x.new_zeros(*x.shape[:2], height, width)
    for n in range(len(x)):
        for i in range(height):
            for j in range(width):
                cell = (slice(i * factor, (i + 1) * factor), slice(j * factor, (j + 1) * factor))
                inside = real[n, 0][cell].flatten()
                if inside.any():
                    out[n, :, i, j] = x[n][:, cell[0], cell[1]].flatten(1)[:, inside].mean(1)
    return out


@pytest.mark.parametrize("common_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 96), (61, 97), (5, 33)])
@pytest.mark.parametrize("padded", [False, True])
def test_a_coarse_common_stride_averages_the_finer_maps(common_stride, size, padded):
    """Each level by itself: convolution, then the mean of the cells or Detectron2's upsampling."""
    module = coarse_head(common_stride).eval()
    features = {name: x.double() for name, x in maps(*size, batch=2).items()}
    mask = None
    real = torch.ones(2, 1, *size, dtype=torch.bool)
    if padded:
        real[0, :, size[0] // 2 :] = False
        real[0, :, :, -size[1] // 3 :] = False
        mask = real
    due = tuple(-(-side // common_stride) for side in size)
    total = 0
    written = module.neck([features[name] for name in RES], mask)
    for name, x in zip(RES, written, strict=True):
        stride = SHAPES[name].stride
        convs = list(module.get_submodule(name).children())
        if stride <= common_stride:
            (conv,) = convs
            x = conv(x)
            if stride < common_stride:
                x = averaged(x, common_stride // stride, real[..., ::stride, ::stride])
        else:
            for step, conv in enumerate(convs):
                left = 2 ** (len(convs) - 1 - step)
                x = upsample(conv(x), 2, tuple(-(-side // left) for side in due))
        assert x.shape[-2:] == due
        total = total + x
    expected = module.predictor(total)
    got = module.layers(features, mask)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    logits, _ = module(features, image_size=size, mask=mask)
    torch.testing.assert_close(logits, upsample(expected, common_stride, size), rtol=0, atol=1e-10)


def test_every_pixel_of_a_finer_map_counts_at_a_coarse_common_stride():
    """What was cropped to its top left corner once: res2's gradient reaches all of its pixels."""
    module = coarse_head(16).train()
    features = {name: x.double().requires_grad_() for name, x in maps(61, 97, batch=2).items()}
    loss = module(features, torch.randint(5, (2, 61, 97)))[1]["loss_sem_seg"]
    gradients = torch.autograd.grad(loss, [*features.values(), *module.parameters()])
    for gradient in gradients[: len(features)]:
        assert gradient.abs().amax((0, 1)).min() > 0
    assert all(gradient.any() for gradient in gradients[len(features) :])


def test_averaging_with_a_mask_has_the_gradient_of_its_formula():
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 1, 5, 7) > 0.4
    mask[0, :, :4, :4] = False  # a cell without any
    torch.testing.assert_close(average_pool(x, 4, mask), averaged(x, 4, mask), rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(lambda t: average_pool(t, 4, mask), x)
    assert torch.autograd.gradcheck(lambda t: average_pool(t, 4), x)


def test_first_convolutions_have_one_name_and_shape_at_every_common_stride():
    shapes = [
        {n: p.shape for n, p in coarse_head(stride).named_parameters() if n.endswith(".0.weight")}
        for stride in (4, 8, 16)
    ]
    assert {f"{name}.0.weight" for name in RES} <= shapes[0].keys()
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("common_stride", [0, 3, 6, 12])
def test_a_common_stride_between_powers_of_two_is_refused(common_stride):
    with pytest.raises(ValueError, match=rf"COMMON_STRIDE {common_stride} does not fit .* to 4,"):
        coarse_head(common_stride)


@pytest.mark.parametrize("names", [PYRAMID, ["p2"]])
def test_the_fpns_head_refuses_a_common_stride_coarser_than_its_finest_map(names):
    """With one map nothing else would say so: it was doubled, and its corner trained on."""
    cfg = small_cfg()
    cfg.MODEL.SEM_SEG_HEAD.COMMON_STRIDE = 16
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = names
    shapes = {f"p{i}": ShapeSpec(channels=32, stride=2**i) for i in range(2, 6)}
    with pytest.raises(ValueError, match="COMMON_STRIDE 16 is coarser than p2, of stride 4: set"):
        SemSegFPNLossHead(cfg, shapes)
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["p4", "p5"]
    assert SemSegFPNLossHead(cfg, shapes).common_stride == 16


@pytest.mark.parametrize("kind", ["SemanticSegmentor", "PaddingAwareSegmentor"])
@pytest.mark.parametrize("common_stride", [4, 16])
def test_images_of_different_sizes_train_every_parameter(common_stride, kind):
    keys = ["MODEL.META_ARCHITECTURE", kind, "MODEL.SEM_SEG_HEAD.COMMON_STRIDE", common_stride]
    model = wake(build_model(small_cfg(*keys))).train()
    model(sem_seg_batch((65, 97), (50, 64)))["loss_sem_seg"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_backbone_without_the_maps_is_refused_with_a_hint():
    cfg = small_cfg()
    with pytest.raises(ValueError, match=r"\['res2'.*SemSegFPNHead"):
        VTFPNHead(cfg, {"p2": ShapeSpec(channels=8, stride=4)})


@pytest.mark.parametrize("grad", [False, True])
def test_the_head_compiles_into_one_graph(grad):
    module, features = head().double().eval(), maps(32, 48)
    features = {name: x.double() for name, x in features.items()}
    with torch.set_grad_enabled(grad):
        compiled = torch.compile(module.layers, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(features), module.layers(features))
