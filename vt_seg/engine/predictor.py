"""One image in, one prediction out, with the preprocessing of the test set."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from torch import nn

from vt_seg.checkpoint import SegmentationCheckpointer, input_convention
from vt_seg.data import ImageReader, build_augmentations, model_input

from .adapt_to_machine import adapt_to_machine
from .evaluation import evaluation_autocast, label_model, optimized
from .run_folder import checkpoint_to_resume
from .tasks import task_of

logger = logging.getLogger(__name__)


class SemSegPredictor(DefaultPredictor):
    """Detectron2's predictor, which resizes or warps images as ``SemSegMapper`` does in tests.

    Attributes:
        images: reads files as the predictor takes them: (H, W, 3) uint8, BGR, or with
            ``INPUT.IN_CHANNELS`` and ``DTYPE`` the channels of the file.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """Build the model, optimized where ``TEST.OPTIMIZE`` is True, and load its weights."""
        # Not `super().__init__`: its checkpointer runs the code of pickles and takes any weights.
        self.cfg = cfg.clone()
        self.model = optimized(self.cfg, trained_model(self.cfg))
        if cfg.DATASETS.TEST:
            self.metadata = task_of(cfg).metadata("TEST")
        self.input_format = cfg.INPUT.FORMAT
        self.images = replace(ImageReader.of(cfg), format="BGR")
        self.aug = T.AugmentationList(build_augmentations(cfg, is_train=False))

    def __call__(self, original_image: np.ndarray) -> dict:
        """Return the model's output for an image of :attr:`images`, at its size."""
        with torch.no_grad(), evaluation_autocast(self.cfg, self.model):
            return self.model([self.record(original_image)])[0]

    def predict_labels(self, image: np.ndarray) -> np.ndarray:
        """Return the label map ``(H, W)``; raise ValueError if the model predicts none."""
        with torch.no_grad(), evaluation_autocast(self.cfg, self.model):
            outputs = label_model(self.model)([self.record(image)])[0]
        if "sem_seg" not in outputs:
            raise ValueError(
                f"MODEL.META_ARCHITECTURE {self.cfg.MODEL.META_ARCHITECTURE} predicts "
                f"{sorted(outputs)}, no semantic segmentation"
            )
        sem_seg = outputs["sem_seg"]  # MODEL.SEM_SEG_HEAD.OUTPUT may be labels
        return (sem_seg.argmax(dim=0) if sem_seg.ndim == 3 else sem_seg).cpu().numpy()

    def record(self, image: np.ndarray) -> dict:
        """Return what the model reads of an image of :attr:`images`."""
        if not self.images.reads_colors:
            self.images.check(image, "the image")
        if self.images.channels == 3 and self.input_format == "RGB":
            image = image[:, :, ::-1]
        height, width = image.shape[:2]
        return model_input(image, self.aug) | {"height": height, "width": width}


def trained_model(cfg: CfgNode) -> nn.Module:
    """Return a config's model in evaluation mode with all of ``MODEL.WEIGHTS``; "" is random.

    It is on the CPU where ``MODEL.DEVICE`` names a GPU that the machine lacks; a warning says so.

    Raises:
        CheckpointError: if the weights cannot be read, or leave a part of the model random.
    """
    cfg = cfg.clone()
    cfg.defrost()
    for note in adapt_to_machine(cfg, world_size=1):
        logger.warning(note)
    model = build_model(cfg).eval()
    if not cfg.MODEL.WEIGHTS:
        logger.warning('MODEL.WEIGHTS "": the model has RANDOM weights, predictions mean nothing.')
        return model
    SegmentationCheckpointer(
        model, input_convention=input_convention(cfg), require_complete=True
    ).load(cfg.MODEL.WEIGHTS)
    return model


def use_trained_weights(cfg: CfgNode, overrides: Sequence[str] = ()) -> None:
    """Set ``MODEL.WEIGHTS`` to those of :func:`find_weights`, unless ``overrides`` name a file."""
    if "MODEL.WEIGHTS" not in overrides[::2]:
        cfg.MODEL.WEIGHTS = find_weights(cfg.OUTPUT_DIR)


def find_weights(output_dir: str) -> str:
    """Return the newest whole checkpoint of a run, as ``--eval-only --resume`` takes it.

    Raises:
        FileNotFoundError: if there are no checkpoints.
        CheckpointError: if there are checkpoints but none is whole.
    """
    path = checkpoint_to_resume(output_dir)
    if not path:
        raise FileNotFoundError(
            f"No trained weights in OUTPUT_DIR {output_dir} (model_final.pth or a checkpoint): "
            "train first, or name a file behind --opts, MODEL.WEIGHTS FILE. That of a config file "
            "is what training starts from, and is not used here."
        )
    logger.info("Weights of the run in %s: %s", output_dir, path)
    return path
