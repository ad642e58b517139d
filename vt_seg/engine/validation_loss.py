"""The training criterion on the test sets, without augmentation and with the norms of inference."""

import contextlib
import logging
import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor, nn

from vt_seg.modeling import unwrapped

from .data_loaders import build_test_loader
from .random_state import random_state_kept

logger = logging.getLogger(__name__)


def validation_loss(cfg: CfgNode, model: nn.Module, suffix: str = "") -> OrderedDict:
    """Return ``{"val": {"loss": mean}}``, or one such dictionary per test set for several.

    The mean over images of the sum of the model's losses, each image being a batch of its own
    (classifiers: batches of ``TEST.CLASSIFICATION.BATCH_SIZE``) in the geometry of a test. Images
    without a labelled pixel do not count. Norms use their running statistics, and nothing is
    dropped. The model, which may be a parallel one, its modes and the random states stay as they
    are. All processes take part and get the result, whose first keys end with ``suffix``.
    """
    results: OrderedDict = OrderedDict()
    for dataset in cfg.DATASETS.TEST:
        with random_state_kept(), _computing_losses(unwrapped(model)) as computing:
            own = list(_losses(cfg, dataset, computing))
        parts = [pair for process in comm.all_gather(own) for pair in process]
        # The sums are exact, so that they do not depend on how images are spread over processes.
        count = sum(images for _, images in parts)
        mean = math.fsum(loss for loss, _ in parts) / count if count else math.nan
        if comm.is_main_process():
            logger.info("Loss on %s, %d images: %.4f (val%s/loss)", dataset, count, mean, suffix)
        results[dataset] = {"val": {"loss": mean}}
    results = results[dataset] if len(results) == 1 else results
    return OrderedDict((f"{key}{suffix}", value) for key, value in results.items())


def _losses(cfg: CfgNode, dataset: str, model: nn.Module) -> Iterator[tuple[float, int]]:
    """Yield the loss of each batch times its number of images, and that number."""
    ignored = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    for batch in build_test_loader(cfg, dataset, with_targets=True):
        labels = [record["sem_seg"] for record in batch if "sem_seg" in record]
        if labels and all((one == ignored).all() for one in labels):
            continue
        losses: Any = model(batch)
        total = losses if isinstance(losses, Tensor) else sum(losses.values())
        yield float(total) * len(batch), len(batch)


@contextlib.contextmanager
def _computing_losses(model: nn.Module) -> Iterator[nn.Module]:
    """Let a model return losses as in training, while its layers compute as in inference."""
    with evaluation_mode(model), torch.no_grad():
        # These two decide what is returned. All modules in them stay in evaluation mode.
        model.training = True
        head = getattr(model, "sem_seg_head", None)
        if head is not None:
            head.training = True
        yield model


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Set a model to evaluation mode; afterwards each module gets back the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
