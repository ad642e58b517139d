import pytest
import torch
from detectron2.modeling import Backbone, build_model
from torch import nn

from tests.modeling.conftest import sem_seg_batch, wake
from tests.small_configs import PYRAMID, small_cfg
from vt_seg.engine import load_cfg
from vt_seg.modeling import padding_mask


def models(tokenizer="filter", kind="PaddingAwareSegmentor"):
    """The padding-aware model and Detectron2's own with the same weights."""
    cfg = small_cfg("MODEL.VT_FPN.TOKENIZER", tokenizer)
    stock = wake(build_model(cfg))
    cfg.MODEL.META_ARCHITECTURE = kind
    aware = build_model(cfg)
    aware.load_state_dict(stock.state_dict())
    return aware, stock


def test_mask_marks_each_image_in_its_corner():
    mask = padding_mask([(2, 3), (4, 1)])
    assert mask.shape == (2, 1, 4, 3)
    assert mask[0, 0].int().tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert mask[1, 0].int().tolist() == [[1, 0, 0]] * 4
    assert padding_mask([(2, 3), (2, 3)]) is None
    assert padding_mask([(2, 3)]) is None


@pytest.mark.parametrize("kind", ["PaddingAwareSegmentor", "UnwarpingSemanticSegmentor"])
def test_images_of_one_size_give_detectron2s_losses_and_logits(kind):
    aware, stock = models(kind=kind)
    batch = sem_seg_batch((50, 70), (50, 70))
    batch[1].update(height=30, width=31)
    losses = [model.train()(batch)["loss_sem_seg"] for model in (aware, stock)]
    assert torch.equal(*losses)
    with torch.no_grad():
        for a, b in zip(aware.eval()(batch), stock.eval()(batch), strict=True):
            assert torch.equal(a["sem_seg"], b["sem_seg"])


class PoolingBackbone(Backbone):
    """Average pooling alone: a map's valid part is the map of the image alone, which no backbone
    with convolutions gives (they see zeros in the place of the border)."""

    def __init__(self, shapes):
        super().__init__()
        self.shapes = shapes

    def forward(self, x):
        return {
            name: nn.functional.avg_pool2d(x, s.stride).repeat(1, s.channels, 1, 1)[:, : s.channels]
            for name, s in self.shapes.items()
        }


@pytest.mark.parametrize("tokenizer", ["filter", "pooling", "clustering"])
def test_training_tokens_do_not_depend_on_how_large_a_batch_mate_is(tokenizer):
    small, large = sem_seg_batch((32, 64), (96, 128))
    seen = []
    aware, stock = models(tokenizer)
    for model in (aware.eval(), stock.eval()):
        model.backbone = PoolingBackbone(model.backbone.output_shape())
        model.training = True  # the model's way of training, with the norms' statistics kept
        model.sem_seg_head.neck.stack.blocks[0].mixer.register_forward_pre_hook(
            lambda module, args: seen.append(args[0])
        )
    with torch.no_grad():
        aware([small])
        aware([small, large])
        stock([small, large])
    alone, beside, unaware = (tokens[0] for tokens in seen)
    torch.testing.assert_close(beside, alone, rtol=1e-4, atol=1e-4)
    assert (unaware - alone).abs().max() > 0.05


@pytest.mark.parametrize("kind", ["PaddingAwareSegmentor", "UnwarpingSemanticSegmentor"])
@pytest.mark.parametrize("output", ["logits", "labels"])
@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNHead"])
def test_predictions_do_not_depend_on_batch_mates(kind, output, head):
    """Images of one size run together, those of another size by themselves, in their order."""
    keys = ["MODEL.META_ARCHITECTURE", kind, "MODEL.SEM_SEG_HEAD.OUTPUT", output]
    if head == "SemSegFPNHead":
        keys += ["MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"]
        keys += ["MODEL.SEM_SEG_HEAD.NAME", head, "MODEL.SEM_SEG_HEAD.IN_FEATURES", PYRAMID]
    model = wake(build_model(small_cfg(*keys))).eval().double()
    batch = sem_seg_batch((40, 56), (96, 33), (40, 56), (64, 64))
    batch[1].update(height=50, width=20)
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    with torch.no_grad():
        together = [result["sem_seg"] for result in model(batch)]
        assert seen == [2, 1, 1]
        alone = [model([record])[0]["sem_seg"] for record in batch]
    assert [tuple(x.shape[-2:]) for x in together] == [(40, 56), (50, 20), (40, 56), (64, 64)]
    for expected, got in zip(alone, together, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=0 if output == "labels" else 1e-9)


@pytest.mark.parametrize("kind", ["PaddingAwareSegmentor", "UnwarpingSemanticSegmentor"])
def test_label_output_is_the_argmax_and_has_no_effect_on_training(kind):
    model = wake(build_model(small_cfg("MODEL.META_ARCHITECTURE", kind)))
    batch = sem_seg_batch((40, 56), (30, 33))
    batch[1].update(height=50, width=20)
    with torch.no_grad():
        logits = model.eval()(batch)
    labelled = build_model(
        small_cfg("MODEL.META_ARCHITECTURE", kind, "MODEL.SEM_SEG_HEAD.OUTPUT", "labels")
    )
    labelled.load_state_dict(model.state_dict())
    with torch.no_grad():
        for one, labels in zip(logits, labelled.eval()(batch), strict=True):
            assert torch.equal(labels["sem_seg"], one["sem_seg"].argmax(0))
    assert labelled.train()(sem_seg_batch((64, 96), (50, 70)))["loss_sem_seg"].isfinite()


def test_keys_without_effect_or_meaning_are_refused_early():
    key, architecture = "MODEL.SEM_SEG_HEAD.OUTPUT", "MODEL.META_ARCHITECTURE"
    with pytest.raises(ValueError, match=r"OUTPUT labels .* SemanticSegmentor passes over it"):
        load_cfg("", [key, "labels", architecture, "SemanticSegmentor"])
    with pytest.raises(ValueError, match=r"CHANNELS_LAST True .* GeneralizedRCNN passes over it"):
        load_cfg("", ["MODEL.CHANNELS_LAST", "True"])
    with pytest.raises(ValueError, match=r'OUTPUT is "classes"'):
        build_model(small_cfg(architecture, "PaddingAwareSegmentor", key, "classes"))


@pytest.mark.parametrize("head", ["VTFPNHead", "SemSegFPNLossHead"])
def test_channels_last_changes_memory_and_not_results(head):
    keys = ["MODEL.META_ARCHITECTURE", "PaddingAwareSegmentor", "MODEL.SEM_SEG_HEAD.NAME", head]
    if head != "VTFPNHead":
        keys += ["MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"]
        keys += ["MODEL.SEM_SEG_HEAD.IN_FEATURES", PYRAMID]
    plain = wake(build_model(small_cfg(*keys)))
    model = build_model(small_cfg(*keys, "MODEL.CHANNELS_LAST", True))
    model.load_state_dict(plain.state_dict())
    weights = [p for p in model.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    batch = sem_seg_batch((64, 96), (50, 70))
    with torch.no_grad():
        for expected, got in zip(plain.eval()(batch), model.eval()(batch), strict=True):
            bound = 1e-5 * float(expected["sem_seg"].abs().max())
            torch.testing.assert_close(got["sem_seg"], expected["sem_seg"], rtol=1e-5, atol=bound)
    losses = [m.train()(batch)["loss_sem_seg"] for m in (plain, model)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)
