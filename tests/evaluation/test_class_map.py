"""One class per pixel: argmax to the letter, and what is refused."""

import pytest
import torch

from vt_seg.evaluation.class_map import class_map, first_maximum


def scores_with_ties(shape, dtype=torch.float32):
    """Few different values, so that nearly every pixel has several highest classes."""
    return torch.randint(-3, 4, shape, generator=torch.manual_seed(0)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 1, 1), (21, 97, 301), (300, 70, 640), (5, 0, 3)])
def test_is_argmax_among_equals_too(shape, dtype):
    for scores in (scores_with_ties(shape, dtype), torch.randn(shape).to(dtype)):
        assert torch.equal(first_maximum(scores).long(), scores.argmax(dim=0))


def test_any_strides_and_integers():
    scores = scores_with_ties((19, 40, 50))
    for view in (
        scores.transpose(1, 2),
        scores[:, ::3, 1:],
        scores.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        scores.int(),
        scores.clone().requires_grad_(),
    ):
        assert torch.equal(first_maximum(view).long(), view.argmax(dim=0))


def test_infinity_and_nan_as_argmax_has_them():
    scores = torch.randn(9, 60, 640)
    scores[2, 3] = float("inf")
    scores[5, 3, :9] = float("inf")
    scores[:, 7] = -float("inf")
    scores[6, 9] = float("nan")
    scores[4, 9, ::2] = float("nan")
    scores[0, 50, 5] = float("nan")
    assert torch.equal(first_maximum(scores).long(), scores.argmax(dim=0))


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64]
)
def test_classes_are_taken_as_they_are(dtype):
    classes = torch.tensor([[0, 3], [4, 1]])
    assert torch.equal(class_map(classes.to(dtype), 5).long(), classes)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(6, 4, 4), "the model scores 6 classes, the dataset has 5: set MODEL.SEM_SEG"),
        (torch.zeros(4, 4), r"\(4, 4\) tensor of torch.float32; need scores"),
        (torch.zeros(1, 5, 4, 4), r"\(1, 5, 4, 4\) tensor"),
        (torch.full((4, 4), 5), r"the model predicts class 5, the dataset has 0\.\.4"),
        (torch.full((4, 4), -1), "the model predicts class -1"),
        (torch.full((4, 4), 255, dtype=torch.uint8), "the model predicts class 255"),
    ],
)
def test_refused(output, message):
    with pytest.raises(ValueError, match=message):
        class_map(output, 5)
