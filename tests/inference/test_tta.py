"""Test-time augmentation against arithmetic by hand."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch.nn import functional as F

from tests.modeling.conftest import wake
from tests.modeling.pixelwise import pixelwise_segmentor
from tests.small_configs import small_cfg
from vt_seg.data import model_input
from vt_seg.data.augmentations import swapped_order
from vt_seg.inference import (
    SemanticSegmentorWithTTA,
    at_original_size,
    describe_tta,
    label_map,
    optimize,
)
from vt_seg.modeling import UnwarpingSemanticSegmentor

PAIRS = ((1, 2),)
SWAPPED = [0, 2, 1, 3]


def make_cfg(sizes=(24,), flip=True, classes=4):
    cfg = small_cfg()
    cfg.TEST.AUG.ENABLED = True
    cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.FLIP = sizes, flip
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = classes
    return cfg


def image_of(height=24, width=32, seed=0):
    generator = torch.manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator).to(torch.uint8)


def predict(model, image, **size):
    with torch.no_grad():
        return model([{"image": image} | size])[0]["sem_seg"]


def softmax(logits):
    exponents = np.exp(logits - logits.max(0))
    return exponents / exponents.sum(0)


def by_hand(weights, image, height=None):
    """Probabilities (K, H, W) of one view, in NumPy."""
    pixels = image.numpy() / 255
    rows, columns = pixels.shape[1:]
    x = np.broadcast_to((np.arange(columns) + 0.5) * 2 / columns - 1, (1, rows, columns))
    features = np.concatenate([pixels, x, np.full_like(x, (height or rows) / 100)])
    return softmax(np.tensordot(weights.numpy(), features, 1))


def test_a_flip_by_hand():
    """One scale, that of the image: nothing is resized."""
    weights, image = torch.randn(4, 5), image_of()
    model = SemanticSegmentorWithTTA(make_cfg(), pixelwise_segmentor(weights), PAIRS).eval()
    plain = by_hand(weights, image)
    mirrored = by_hand(weights, image.flip(-1))[:, :, ::-1][SWAPPED]
    result = predict(model, image)
    np.testing.assert_allclose(result, (plain + mirrored) / 2, atol=1e-5)
    np.testing.assert_allclose(result.sum(0), 1, atol=1e-5)
    # The swap matters here, and so does the flip.
    assert np.abs(mirrored - by_hand(weights, image.flip(-1))[:, :, ::-1]).max() > 0.1
    assert np.abs(mirrored - plain).max() > 0.1


def test_scales_by_hand():
    """One colour, so that resizing changes nothing but the height that the model reads."""
    weights = torch.randn(4, 5)
    weights[:, 3] = 0
    image = torch.tensor([30, 90, 220], dtype=torch.uint8)[:, None, None].expand(3, 24, 32)
    cfg = make_cfg(sizes=(12, 24, 60), flip=False)
    cfg.TEST.AUG.MAX_SIZE = 64  # 60 x 80 would be larger: 48 x 64
    model = SemanticSegmentorWithTTA(cfg, pixelwise_segmentor(weights), PAIRS).eval()
    expected = sum(by_hand(weights, image, height) for height in (12, 24, 48)) / 3
    np.testing.assert_allclose(predict(model, image), expected, atol=1e-5)
    # Back to another size than the image's, if the record says so.
    assert predict(model, image, height=13, width=17).shape == (4, 13, 17)


def test_scales_and_flips_are_all_averaged():
    """Four views, each computed by Detectron2's own resize and the bare model."""
    weights, image = torch.randn(4, 5), image_of()
    segmentor = pixelwise_segmentor(weights)
    model = SemanticSegmentorWithTTA(make_cfg((12, 36)), segmentor, PAIRS).eval()
    total = 0
    for short, long in ((12, 16), (36, 48)):
        for mirrored in (False, True):
            view = image.flip(-1) if mirrored else image
            resize = T.ResizeTransform(24, 32, short, long)
            resized = resize.apply_image(view.permute(1, 2, 0).numpy())
            scores = predict(segmentor, torch.tensor(resized).permute(2, 0, 1), height=24, width=32)
            probabilities = scores.softmax(0)
            total += probabilities.flip(-1)[SWAPPED] if mirrored else probabilities
    # A grey level of difference at resizing is one in the third digit of a probability.
    torch.testing.assert_close(predict(model, image), total / 4, atol=4e-3, rtol=0)


def test_fixed_sizes_and_canvases_are_scaled():
    """A model that was trained at a fixed size is shown others of the same shape."""
    seen = []
    model = pixelwise_segmentor(torch.randn(4, 5), UnwarpingSemanticSegmentor)
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    cfg = make_cfg((20, 40), flip=False)
    cfg.MODEL.META_ARCHITECTURE = "UnwarpingSemanticSegmentor"
    cfg.INPUT.FIXED_SIZE = (40, 60)
    predict(SemanticSegmentorWithTTA(cfg, model).eval(), image_of())
    cfg.INPUT.FIXED_SIZE = ()
    cfg.INPUT.AFFINE.ENABLED, cfg.INPUT.AFFINE.SIZE = True, (30, 30)
    result = predict(SemanticSegmentorWithTTA(cfg, model).eval(), image_of())
    assert seen == [(20, 30), (40, 60), (20, 20), (40, 40)]
    assert result.shape == (4, 24, 32)


def test_a_canvas_and_a_flip_by_hand():
    """An odd image on an even canvas: views are mirrored before they are warped."""
    weights = torch.randn(4, 5)
    weights[:, 3:] = 0
    cfg = make_cfg((40,))
    cfg.MODEL.META_ARCHITECTURE = "UnwarpingSemanticSegmentor"
    cfg.INPUT.AFFINE.ENABLED, cfg.INPUT.AFFINE.SIZE = True, (40, 40)
    model = pixelwise_segmentor(weights, UnwarpingSemanticSegmentor)
    model = SemanticSegmentorWithTTA(cfg, model, PAIRS).eval()
    image = F.interpolate(torch.rand(1, 3, 3, 4), (31, 40), mode="bilinear")[0] * 255
    image = image.to(torch.uint8)
    plain = by_hand(weights, image)
    expected = (plain + plain[SWAPPED]) / 2
    inner = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(predict(model, image)[inner], expected[inner], atol=0.01)


def test_the_loader_is_told_not_to_resize():
    cfg = make_cfg()
    cfg.INPUT.FIXED_SIZE = (40, 60)
    cfg.freeze()
    changed = at_original_size(cfg)
    assert (changed.INPUT.MIN_SIZE_TEST, changed.INPUT.FIXED_SIZE) == (0, ())
    assert not changed.INPUT.AFFINE.ENABLED
    assert cfg.INPUT.FIXED_SIZE == (40, 60)


@pytest.mark.parametrize(
    ("flip", "pairs", "says"),
    [
        (True, PAIRS, "short sides 24, 48; flip on (channels 1/2 are swapped); average of"),
        (True, (), "flip on (no channels swapped)"),
        (False, PAIRS, "short sides 24, 48; flip off;"),
    ],
)
def test_it_says_whether_flip_is_on(flip, pairs, says):
    cfg = make_cfg((24, 48), flip)
    assert says in describe_tta(cfg, pairs)
    segmentor = pixelwise_segmentor(torch.randn(4, 5))
    assert says in SemanticSegmentorWithTTA(cfg, segmentor, pairs).description


def test_other_models_and_missing_sizes_are_refused():
    model = pixelwise_segmentor(torch.randn(4, 5))
    with pytest.raises(TypeError, match="for SemanticSegmentor, not for Linear"):
        SemanticSegmentorWithTTA(make_cfg(), torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="MIN_SIZES is empty"):
        SemanticSegmentorWithTTA(make_cfg(()), model)
    with pytest.raises(ValueError, match="labels 3 and 4, there are 4"):
        SemanticSegmentorWithTTA(make_cfg(), model, ((3, 4),))


def average_at_full_size(cfg, model, record, pairs):
    """Average the softmax of each view's logits, which the plain model gives at full size."""
    total, count = 0, 0
    image = record["image"].permute(1, 2, 0).numpy()
    size = {"height": record["height"], "width": record["width"]}
    order = swapped_order(pairs, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)
    for augmentations in SemanticSegmentorWithTTA(cfg, model, pairs).augmentations:
        for flipped in (False, True):
            view = np.ascontiguousarray(image[:, ::-1]) if flipped else image
            with torch.no_grad():
                logits = model([model_input(view, augmentations) | size])[0]["sem_seg"]
            probabilities = logits.softmax(0)
            total += probabilities.flip(-1)[order] if flipped else probabilities
            count += 1
    return total / count


@pytest.mark.parametrize("kind", ["PaddingAwareSegmentor", "UnwarpingSemanticSegmentor"])
@pytest.mark.parametrize("sizes", [(64,), (48, 80)])
def test_views_of_an_optimized_model_are_averaged_in_strips(kind, sizes, monkeypatch):
    """At the output's size the probabilities are the same. Views of other sizes are interpolated
    once here and twice by Detectron2, so that their probabilities differ a little."""
    monkeypatch.setitem(label_map.STRIP_LOGITS, "cpu", 5 * 90 * 7)  # strips of seven rows
    cfg = make_cfg(sizes, classes=5)
    cfg.MODEL.META_ARCHITECTURE = kind
    pairs = ((1, 2), (3, 4))
    model = wake(build_model(cfg)).eval()
    tta = SemanticSegmentorWithTTA(cfg, optimize(model), pairs)
    assert not tta.training
    record = {"image": image_of(64, 90), "height": 64, "width": 90}
    expected = average_at_full_size(cfg, model, record, pairs)
    (result,) = tta([record])
    difference = (result["sem_seg"] - expected).abs()
    if sizes == (64,):
        assert difference.max() < 1e-4
    else:
        assert 1e-5 < difference.mean() < 0.05
    (labels,) = tta.predict_labels([record])
    assert labels.shape == (64, 90)
    assert torch.equal(labels, result["sem_seg"].argmax(0))


@pytest.mark.parametrize("kind", ["SemanticSegmentor", "PaddingAwareSegmentor"])
def test_label_maps_of_a_model_that_is_not_optimized(kind):
    segmentor = pixelwise_segmentor(torch.randn(4, 5), META_ARCH_REGISTRY.get(kind))
    tta = SemanticSegmentorWithTTA(make_cfg((12, 36)), segmentor, PAIRS).eval()
    probabilities = predict(tta, image_of(), height=13, width=17)
    (labels,) = tta.predict_labels([{"image": image_of(), "height": 13, "width": 17}])
    assert torch.equal(labels, probabilities.argmax(0))


def test_a_model_whose_output_is_labels_gives_label_maps_of_the_average():
    segmentor = pixelwise_segmentor(torch.randn(4, 5), UnwarpingSemanticSegmentor)
    probabilities = predict(SemanticSegmentorWithTTA(make_cfg(), segmentor, PAIRS), image_of())
    segmentor.output = "labels"
    labels = predict(SemanticSegmentorWithTTA(make_cfg(), segmentor, PAIRS), image_of())
    assert torch.equal(labels, probabilities.argmax(0))
    assert segmentor.output == "labels"  # the model itself is as it was
