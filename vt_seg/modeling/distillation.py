"""Knowledge distillation from a frozen classifier of timm (v4 Sec. 5.2)."""

import logging
import os
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from vt_seg.checkpoint import import_timm, read_weights

logger = logging.getLogger(__name__)

_NODE = "MODEL.CLASSIFIER.DISTILLATION"


@dataclass(eq=False)
class Distillation:
    """A teacher, and the loss that makes a classifier (the student) agree with it.

    The paper weighs "distillation loss (0.8) and cross entropy loss (0.2)" and does not define the
    first. The loss here is Hinton's (arXiv 1503.02531): the Kullback-Leibler divergence of the
    student's softmax from the teacher's, both at temperature T, times T^2, averaged over images.
    The paper's teacher is FBNetV3-G; timm's ``fbnetv3_g`` need not have the same weights.

    This is not a module, so the teacher's weights are in no checkpoint, optimizer or moving
    average, it stays in evaluation mode, and copies of the student share it. It is built at the
    first training step: evaluation needs neither timm nor the weights.

    Args:
        teacher: the model's name in timm.
        num_classes: of the student, which the teacher must have too.
        weights: a file that :func:`vt_seg.checkpoint.read_checkpoint` reads; "" lets timm download
            its own.
        weight: weight of the distillation loss, 0 to 1; the rest is the cross-entropy's.
        temperature: T, above 0.
        input_format: order of the student's channels, "RGB" or "BGR".

    Raises:
        ValueError: if a number is out of range, or the channel order is another one.
    """

    teacher: str
    num_classes: int
    _: KW_ONLY
    weights: str = ""
    weight: float = 0.8
    temperature: float = 1.0
    input_format: str = "RGB"
    _teacher: Any = field(default=None, init=False, repr=False)  # a model of timm

    def __post_init__(self) -> None:
        """Check the settings; nothing is loaded yet."""
        if not 0 <= self.weight <= 1:
            raise ValueError(f"{_NODE}.WEIGHT is {self.weight}, need 0 to 1")
        if not self.temperature > 0:
            raise ValueError(f"{_NODE}.TEMPERATURE is {self.temperature}, need more than 0")
        if self.input_format not in ("RGB", "BGR"):
            raise ValueError(
                f"INPUT.FORMAT is {self.input_format}, but a teacher ({_NODE}.TEACHER) sees "
                "colours: use RGB or BGR"
            )

    def __deepcopy__(self, memo: dict) -> "Distillation":
        """Return the object itself: copies of the student, as EMA makes, share the teacher."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave the teacher out of pickles."""
        return {**self.__dict__, "_teacher": None}

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return the distillation loss, not yet weighted.

        ``logits`` are the student's ``(N, num_classes)``, ``images`` its input ``(N, 3, H, W)`` in
        its channel order, 0 to 255 and not normalised.
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
        """Return the teacher's ``(N, num_classes)`` for ``images`` as in :meth:`loss`.

        For a teacher of one fixed size, as many transformers are, images are resized to it.
        """
        if self._teacher is None:
            self._teacher = load_teacher(self.teacher, self.num_classes, self.weights)
        teacher = self._teacher.to(images.device)
        mean, std = (
            torch.tensor(teacher.pretrained_cfg[key], device=images.device).view(-1, 1, 1)
            for key in ("mean", "std")
        )
        images = (images.flip(1) if self.input_format == "BGR" else images).float()
        size = tuple(teacher.pretrained_cfg["input_size"][1:])
        if teacher.pretrained_cfg.get("fixed_input_size") and images.shape[-2:] != size:
            images = F.interpolate(
                images, size, mode="bilinear", align_corners=False, antialias=True
            )
        return teacher((images / 255 - mean) / std).float()


def load_teacher(name: str, num_classes: int, weights: str = "") -> nn.Module:
    """Return a classifier of timm, frozen and in evaluation mode; see :class:`Distillation`.

    Raises:
        ImportError: if timm is not installed.
        OSError: if timm cannot download its weights, or has none.
        CheckpointError: if the file is missing, is no checkpoint, or would run code.
        ValueError: if timm does not know the name, or the weights do not fit it or the classes.
    """
    timm = import_timm(f"{_NODE}.TEACHER {name}")
    if ":" not in name and not timm.is_model(name):  # timm itself looks for "hf-hub:..."
        raise ValueError(
            f'{_NODE}.TEACHER is "{name}", which timm {timm.__version__} does not know; '
            "timm.list_models() lists its models"
        )
    if weights:
        path = os.path.expanduser(weights)
        teacher = timm.create_model(name, num_classes=num_classes)
        # The file is read here, as older versions of timm run the code of pickles.
        tensors = read_weights(path, teacher.state_dict())
        try:
            teacher.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(
                f"{_NODE}.WEIGHTS {path} does not fit the TEACHER {name} with "
                f"MODEL.CLASSIFIER.NUM_CLASSES {num_classes}: {error}"
            ) from error
    else:
        logger.info("The teacher %s takes timm's own weights, downloaded if need be", name)
        try:
            teacher = timm.create_model(name, pretrained=True)
        except (OSError, RuntimeError) as error:  # no connection, or timm has none for this name
            raise OSError(
                f'{_NODE}.TEACHER "{name}": timm could not get its weights ({error}). Name a file '
                f"that has them in {_NODE}.WEIGHTS"
            ) from error
        if teacher.num_classes != num_classes:
            raise ValueError(
                f'{_NODE}.TEACHER "{name}" has {teacher.num_classes} classes, '
                f"MODEL.CLASSIFIER.NUM_CLASSES is {num_classes}: name a file of a teacher trained "
                f"on these classes in {_NODE}.WEIGHTS"
            )
    return teacher.requires_grad_(False).eval()


def build_distillation(cfg: CfgNode) -> Distillation | None:
    """Build what ``MODEL.CLASSIFIER.DISTILLATION`` describes; None without a teacher."""
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
