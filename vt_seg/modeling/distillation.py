"""Knowledge distillation from a frozen classifier of timm (v4 Sec. 5.2)."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from vt_seg.checkpoint import check_tensors, read_checkpoint
from vt_seg.checkpoint.layouts import AVERAGES_FIRST, split_weights

logger = logging.getLogger(__name__)


class Distillation:
    """A teacher, and the loss that has a classifier (the student) answer as it does.

    The paper weighs "distillation loss (0.8) and cross entropy loss (0.2)" and does not define the
    first. The paper's teacher is FBNetV3-G; the configs take timm's ``fbnetv3_g``, which need not
    have the same weights. The loss here is Hinton's (arXiv 1503.02531): the Kullback-Leibler
    divergence of the student's softmax from the teacher's, both at temperature T, times T^2,
    averaged over the images.

    The teacher is no part of the student: this is not a module, so the teacher's weights are in no
    checkpoint, optimizer or moving average, it stays in evaluation mode, and copies of the student
    share it. It is made at the first training step: evaluation needs neither timm nor the weights.
    """

    def __init__(
        self,
        teacher: str,
        num_classes: int,
        *,
        weights: str = "",
        weight: float = 0.8,
        temperature: float = 1.0,
        input_format: str = "RGB",
    ) -> None:
        """
        Args:
            teacher: a model that timm knows by this name.
            num_classes: of the student, which the teacher must have too.
            weights: a file that has its weights, of any format that
                :func:`vt_seg.checkpoint.read_checkpoint` reads; "" takes timm's own, which it
                downloads.
            weight: of the distillation loss, 0 to 1; the rest is the cross-entropy's.
            temperature: T, above 0.
            input_format: order of the student's channels, "RGB" or "BGR"; timm's is RGB.

        Raises:
            ValueError: a number out of range, or another channel order.
        """
        if not 0 <= weight <= 1:
            raise ValueError(f"MODEL.CLASSIFIER.DISTILLATION.WEIGHT is {weight}, need 0 to 1")
        if not temperature > 0:
            raise ValueError(
                f"MODEL.CLASSIFIER.DISTILLATION.TEMPERATURE is {temperature}, need more than 0"
            )
        if input_format not in ("RGB", "BGR"):
            raise ValueError(
                f"INPUT.FORMAT is {input_format}, but a teacher "
                "(MODEL.CLASSIFIER.DISTILLATION.TEACHER) sees colours: use RGB or BGR"
            )
        self.teacher_name = teacher
        self.num_classes = num_classes
        self.weights = weights
        self.weight = weight
        self.temperature = temperature
        self.channel_order = [0, 1, 2] if input_format == "RGB" else [2, 1, 0]
        self._teacher: nn.Module | None = None

    def __deepcopy__(self, memo: dict) -> "Distillation":
        return self  # copies of the student, as EMA makes, need no teacher of their own

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_teacher": None}

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        """The distillation loss, not yet weighted.

        Args:
            logits: the student's ``(N, num_classes)``.
            images: what the student was shown, ``(N, 3, H, W)`` in its channel order, 0 to 255 and
                not normalised.

        Raises:
            ImportError, OSError, ValueError: there is no such teacher; see :func:`load_teacher`.
        """
        t = self.temperature
        divergence = F.kl_div(
            F.log_softmax(logits.float() / t, dim=1),
            F.log_softmax(self.teacher_logits(images) / t, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return divergence * t**2

    @torch.no_grad()
    def teacher_logits(self, images: Tensor) -> Tensor:
        """The teacher's ``(N, num_classes)`` for ``images`` as in :meth:`loss`.

        A teacher that takes one size only, as many transformers, is shown them resized to it.
        """
        if self._teacher is None:
            self._teacher = load_teacher(self.teacher_name, self.num_classes, self.weights)
        teacher = self._teacher
        if next(teacher.parameters()).device != images.device:
            teacher.to(images.device)
        mean, std = (
            torch.tensor(teacher.pretrained_cfg[key], device=images.device).view(-1, 1, 1)
            for key in ("mean", "std")
        )
        images = images[:, self.channel_order].float()
        size = tuple(teacher.pretrained_cfg["input_size"][1:])
        if teacher.pretrained_cfg.get("fixed_input_size") and images.shape[-2:] != size:
            images = F.interpolate(
                images, size, mode="bilinear", align_corners=False, antialias=True
            )
        return teacher((images / 255 - mean) / std).float()


def load_teacher(name: str, num_classes: int, weights: str = "") -> nn.Module:
    """A classifier of timm, frozen and in evaluation mode.

    Args:
        name: what timm calls it.
        num_classes: that it must have.
        weights: a file with its weights; "" takes timm's own, which it downloads once.

    Raises:
        ImportError: timm is not installed.
        FileNotFoundError: ``weights`` is no file.
        OSError: timm cannot download its weights, or has none.
        ValueError: if timm does not know the name, or the weights do not fit it or the classes;
            CheckpointError if their file is no checkpoint or names code.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f'MODEL.CLASSIFIER.DISTILLATION.TEACHER is "{name}", which needs timm: '
            'pip install timm, or set TEACHER "" to train without a teacher',
            name=error.name,
        ) from error
    if ":" not in name and not timm.is_model(name):  # "hf-hub:..." is timm's to find
        raise ValueError(
            f'MODEL.CLASSIFIER.DISTILLATION.TEACHER is "{name}", which timm {timm.__version__} '
            "does not know; timm.list_models() lists its models"
        )
    if weights:
        teacher = _from_file(timm, name, num_classes, os.path.expanduser(weights))
    else:
        teacher = _with_own_weights(timm, name)
        if teacher.num_classes != num_classes:
            raise ValueError(
                f'MODEL.CLASSIFIER.DISTILLATION.TEACHER "{name}" tells {teacher.num_classes} '
                f"classes apart, MODEL.CLASSIFIER.NUM_CLASSES is {num_classes}: name a file of a "
                "teacher trained on these classes in MODEL.CLASSIFIER.DISTILLATION.WEIGHTS"
            )
    return teacher.requires_grad_(False).eval()


def _with_own_weights(timm: Any, name: str) -> nn.Module:
    logger.info("The teacher %s takes timm's own weights, downloaded if need be", name)
    try:
        return timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:  # no connection, or timm has none for this name
        raise OSError(
            f'MODEL.CLASSIFIER.DISTILLATION.TEACHER "{name}": timm could not get its weights '
            f"({error}). Name a file that has them in MODEL.CLASSIFIER.DISTILLATION.WEIGHTS"
        ) from error


def _from_file(timm: Any, name: str, num_classes: int, path: str) -> nn.Module:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"MODEL.CLASSIFIER.DISTILLATION.WEIGHTS {path}: there is no such file"
        )
    # Not by timm: its older versions run the code of pickles.
    weights, _ = split_weights(read_checkpoint(path), path, AVERAGES_FIRST)
    teacher = timm.create_model(name, num_classes=num_classes)
    check_tensors(weights, path, teacher.state_dict())
    tensors = {key: torch.as_tensor(value) for key, value in weights.items()}
    try:
        teacher.load_state_dict(tensors)
        return teacher
    except RuntimeError as error:
        raise ValueError(
            f"MODEL.CLASSIFIER.DISTILLATION.WEIGHTS {path} does not fit the TEACHER {name} with "
            f"MODEL.CLASSIFIER.NUM_CLASSES {num_classes}: {error}"
        ) from error


def distillation(cfg: CfgNode) -> Distillation | None:
    """What ``MODEL.CLASSIFIER.DISTILLATION`` describes; None without a teacher."""
    node = cfg.MODEL.CLASSIFIER.DISTILLATION
    if not node.TEACHER:
        return None
    return Distillation(
        node.TEACHER,
        cfg.MODEL.CLASSIFIER.NUM_CLASSES,
        weights=node.WEIGHTS,
        weight=node.WEIGHT,
        temperature=node.TEMPERATURE,
        input_format=cfg.INPUT.FORMAT,
    )
