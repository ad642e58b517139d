"""Predictions on a canvas come back to where the image is."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from detectron2.modeling import SemanticSegmentor

from vt_seg.data import model_input
from vt_seg.data.augmentations import AffineWarp, AffineWarpTransform, centred_matrix
from vt_seg.modeling import UnwarpingSemanticSegmentor
from vt_seg.modeling.unwarping_segmentor import unwarp

from ..data.test_augmentations_affine import away_from_borders, blobs
from .pixelwise import pixelwise_segmentor

# Classes told apart by colour: black border (4), grey (0), blue, green, red.
COLORS = np.array([[120] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
WEIGHTS = torch.tensor(
    [
        [6.0, 6.0, 6.0, 0.0, 0.0],
        [12.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 12.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 12.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.001],
    ]
)


@pytest.mark.parametrize("size", [(174, 117), (491, 349), (90, 300), (473, 473)])
def test_scores_are_those_of_the_image_at_its_own_size(size):
    """A model that knows colours gets the mask back, through 473 x 473, away from borders."""
    mask = blobs(*size, classes=4)
    image = COLORS[mask]
    record = model_input(image, T.AugmentationList([AffineWarp((473, 473))]))
    assert record["image"].shape == (3, 473, 473)
    record |= {"height": size[0], "width": size[1]}
    right = {}
    for kind in (UnwarpingSemanticSegmentor, SemanticSegmentor):
        scores = pixelwise_segmentor(WEIGHTS, kind)([record])[0]["sem_seg"]
        assert scores.shape == (5, *size)
        right[kind] = (scores.argmax(0).numpy() == mask)[away_from_borders(mask)].mean()
    assert right[UnwarpingSemanticSegmentor] >= 0.99
    # What the stock model makes of a canvas: the border is stretched over the image.
    if size != (473, 473):
        assert right[SemanticSegmentor] < 0.95


def test_unwarp_by_hand():
    """Twice as large on the canvas: each pixel's centre is a corner of four, their mean."""
    scores = torch.arange(32.0).reshape(1, 4, 8)
    matrix = centred_matrix((2, 4), (4, 8), window=1.0, angle=0)
    expected = scores.reshape(1, 2, 2, 4, 2).mean((2, 4))
    torch.testing.assert_close(unwarp(scores, matrix, (2, 4)), expected)


def test_unwarp_is_the_inverse_of_any_warp():
    """A ramp, which bilinear interpolation keeps."""
    ys, xs = np.mgrid[:40, :50].astype(np.float32)
    ramp = xs + 3 * ys
    matrix = centred_matrix((40, 50), (200, 200), window=1.4, angle=35)
    warped = AffineWarpTransform(matrix, (40, 50), (200, 200)).apply_image(ramp)
    restored = unwarp(torch.tensor(warped)[None], matrix, (40, 50))[0].numpy()
    np.testing.assert_allclose(restored[2:-2, 2:-2], ramp[2:-2, 2:-2], atol=0.1)


def test_half_precision():
    scores = torch.arange(32.0).reshape(1, 4, 8)
    matrix = centred_matrix((2, 4), (4, 8), window=1.0, angle=0)
    half = unwarp(scores.bfloat16(), matrix, (2, 4))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), unwarp(scores, matrix, (2, 4)), atol=0.3, rtol=0)
