"""One image in, one prediction out, with the preprocessing of the test set."""

import os
from collections.abc import Sequence

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultPredictor

from vt_seg.data import build_augmentations, model_input
from vt_seg.modeling.label_output import label_output, labels_of


class SemSegPredictor(DefaultPredictor):
    """Detectron2's predictor, resizing or warping as ``SemSegMapper`` does in tests.

    ``DefaultPredictor`` knows ``INPUT.MIN_SIZE_TEST`` only, so that a model trained at
    ``INPUT.FIXED_SIZE`` would see images of a size it never met.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self.aug = T.AugmentationList(build_augmentations(cfg, is_train=False))

    def __call__(self, original_image: np.ndarray) -> dict:
        """The model's output for an image ``(H, W, 3)``, uint8 and BGR, at the image's size."""
        if self.input_format == "RGB":
            original_image = original_image[:, :, ::-1]
        height, width = original_image.shape[:2]
        record = model_input(original_image, self.aug) | {"height": height, "width": width}
        with torch.no_grad():
            return self.model([record])[0]

    def predict_labels(self, image_bgr: np.ndarray) -> np.ndarray:
        """Class indices ``(H, W)`` of an image ``(H, W, 3)``, uint8 and BGR.

        Raises:
            ValueError: the model does not segment semantically.
        """
        with label_output(self.model):
            outputs = self(image_bgr)
        if "sem_seg" not in outputs:
            raise ValueError(
                f"MODEL.META_ARCHITECTURE {self.cfg.MODEL.META_ARCHITECTURE} predicts "
                f"{sorted(outputs)}, no semantic segmentation"
            )
        return labels_of(outputs["sem_seg"]).cpu().numpy()


def use_trained_weights(cfg: CfgNode, overrides: Sequence[str] = ()) -> None:
    """Set ``MODEL.WEIGHTS`` to what training left in ``OUTPUT_DIR``, unless the user named a file.

    Args:
        cfg: its ``MODEL.WEIGHTS`` are those that training starts from.
        overrides: ``KEY VALUE ...`` of the command line, merged into it already.

    Raises:
        FileNotFoundError: see :func:`find_weights`.
    """
    if "MODEL.WEIGHTS" not in overrides[::2]:
        cfg.MODEL.WEIGHTS = find_weights(cfg.OUTPUT_DIR)


def find_weights(output_dir: str) -> str:
    """The weights that a training run left behind: the final ones, else the last checkpoint.

    Args:
        output_dir: the run's ``OUTPUT_DIR``.

    Raises:
        FileNotFoundError: there are none.
    """
    final = os.path.join(output_dir, "model_final.pth")
    if os.path.isfile(final):
        return final
    tag = os.path.join(output_dir, "last_checkpoint")
    if os.path.isfile(tag):
        with open(tag) as file:
            last = os.path.join(output_dir, file.read().strip())
        if os.path.isfile(last):
            return last
    raise FileNotFoundError(
        f"No trained weights in OUTPUT_DIR {output_dir} (model_final.pth or a checkpoint): "
        "train first, or name a file with MODEL.WEIGHTS."
    )
