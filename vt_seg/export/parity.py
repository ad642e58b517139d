"""Does an exported file give what the model gives?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vt_seg.layers import Size

SIZES: tuple[Size, ...] = ((97, 133), (161, 71), (117, 227))
"""Odd sizes, which are neither the example's nor a multiple of a stride."""
BATCHES = (1, 3)
MIN_EQUAL_LABELS = 0.9999
MAX_LOGIT_ERROR = 1e-4  # of the range of the logits

Run = Callable[[np.ndarray], np.ndarray]
"""From images ``(N, C, H, W)`` uint8, RGB, to labels ``(N, H, W)`` or logits."""


class ParityError(ValueError):
    """An exported file that computes something else than the model."""


def check_parity(run: Run, model: Any, input_format: str) -> str:
    """Compare an exported file with the plain model, at three odd sizes, batches of 1 and 3.

    Args:
        run: runs the file.
        model: the segmentor from which it was exported.
        input_format: ``INPUT.FORMAT`` of the model.

    Returns:
        What was measured, as a sentence.

    Raises:
        ParityError: if fewer than 99.99 % of the pixels have the same label, or a logit differs by
            more than 1e-4 of their range.
    """
    equal, pixels, error = 0, 0, 0.0
    for batch in BATCHES:
        for size in SIZES:
            images = parity_images(batch, len(model.pixel_mean), size)
            expected = plain_logits(model, images, input_format)
            given = torch.from_numpy(run(images.numpy())).to(expected.device)
            labels = given
            if given.ndim == 4:
                labels = given.argmax(1)
                spread = float(expected.max() - expected.min())
                error = max(error, float((given - expected).abs().max()) / max(spread, 1e-12))
            equal += int((labels == expected.argmax(1)).sum())
            pixels += labels.numel()
    sizes = ", ".join(f"{height}x{width}" for height, width in SIZES)
    sentence = f"labels equal at {equal / pixels:.4%} of the pixels"
    if given.ndim == 4:
        sentence += f", logits within {error:.1e} of their range"
    sentence += f" ({sizes} with batches of 1 and 3)"
    if equal < MIN_EQUAL_LABELS * pixels or error > MAX_LOGIT_ERROR:
        raise ParityError(f"the exported file disagrees with the model: {sentence}")
    return sentence


def parity_images(batch: int, channels: int, size: Size) -> Tensor:
    """Return images ``(N, C, H, W)`` uint8 of areas and noise, the same at each call."""
    generator = torch.Generator().manual_seed(batch)
    coarse = torch.rand(batch, channels, 4, 4, generator=generator)
    noise = torch.rand(batch, channels, *size, generator=generator)
    images = 0.8 * F.interpolate(coarse, size=size, mode="bilinear") + 0.2 * noise
    return (images * 255).to(torch.uint8)


@torch.no_grad()
def plain_logits(model: Any, images: Tensor, input_format: str) -> Tensor:
    """Return the logits ``(N, num_classes, H, W)`` of a segmentor for RGB images."""
    output = getattr(model, "output", None)
    if output is not None:  # a PaddingAwareSegmentor, which may give labels
        model.output = "logits"
    try:
        records = [{"image": x.flip(0) if input_format == "BGR" else x} for x in images]
        return torch.stack([one["sem_seg"] for one in model(records)])
    finally:
        if output is not None:
            model.output = output
