"""The evaluator that a dataset's metadata asks for."""

import importlib.util
import logging
import os
from collections import OrderedDict

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    CityscapesSemSegEvaluator,
    COCOEvaluator,
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
)

from vt_seg.config import require_vt_seg_keys
from vt_seg.data import ImageReader
from vt_seg.files import path_below

from .classification_evaluator import ClassificationEvaluator
from .segmentation_evaluator import SegmentationEvaluator

logger = logging.getLogger(__name__)


class CityscapesScriptsEvaluator(CityscapesSemSegEvaluator):
    """Detectron2's evaluator with Cityscapes' own scripts; its results are called "cityscapes"."""

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"cityscapes": {"IoU": ..., "iIoU": ...}}``; None but on the main process."""
        try:
            results = super().evaluate()
        except AttributeError as error:  # Version 2.3 calls functions that NumPy 2.4 lacks.
            logger.error(
                "cityscapesscripts cannot score with NumPy %s (%s): install an older NumPy for "
                "them; the other scores are not affected",
                *(np.__version__, error),
            )
            return None
        return results and OrderedDict(cityscapes=results["sem_seg"])


_EVALUATORS: dict[str, tuple[type[DatasetEvaluator], ...]] = {
    "sem_seg": (SegmentationEvaluator,),
    "cityscapes_sem_seg": (SegmentationEvaluator,),
    "coco": (COCOEvaluator,),
    "coco_panoptic_seg": (SegmentationEvaluator, COCOEvaluator, COCOPanopticEvaluator),
    "classification": (ClassificationEvaluator,),
}


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_folder: str | None = None
) -> DatasetEvaluator:
    """Return the evaluator for the dataset's metadata key ``evaluator_type``.

    Predictions and results go to ``output_folder``. The default is ``OUTPUT_DIR/inference``, with
    a folder for each dataset in it where ``DATASETS.TEST`` names several.

    Raises:
        ValueError: If the metadata name no evaluator or an unknown one, if Cityscapes' scripts are
            asked for and not installed, or if the results of one
            of several test sets would lie outside of ``inference``, as its name contains "..".
    """
    require_vt_seg_keys(cfg, "TEST.SEM_SEG", "MODEL.SEM_SEG_HEAD.TEMPERATURE")
    if not output_folder:
        output_folder = os.path.join(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            output_folder = path_below(output_folder, dataset_name, "DATASETS.TEST")
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind not in _EVALUATORS:
        raise ValueError(
            f"Dataset {dataset_name} has evaluator_type {kind!r} in its metadata; known are "
            f"{', '.join(_EVALUATORS)}. For semantic segmentation set "
            f'MetadataCatalog.get("{dataset_name}").set(evaluator_type="sem_seg").'
        )

    evaluators = []
    for evaluator in _EVALUATORS[kind]:
        options = {}
        if evaluator is SegmentationEvaluator:
            keys = ("MEAN_OVER", "BOUNDARY_IOU", "PREDICTIONS_JSON", "WORST_IMAGES", "CALIBRATION")
            options = {key.lower(): cfg.TEST.SEM_SEG[key] for key in keys}
            options["images"] = ImageReader.of(cfg)
            options["temperature"] = cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE
        evaluators.append(evaluator(dataset_name, output_dir=output_folder, **options))
    if kind == "cityscapes_sem_seg" and cfg.TEST.SEM_SEG.CITYSCAPES_SCRIPTS:
        if importlib.util.find_spec("cityscapesscripts") is None:
            raise ValueError(
                f"TEST.SEM_SEG.CITYSCAPES_SCRIPTS is True for {dataset_name}, but they are not "
                "installed: pip install cityscapesscripts, or set False for the same mIoU"
            )
        if cfg.MODEL.SEM_SEG_HEAD.OUTPUT == "labels":
            raise ValueError(
                "TEST.SEM_SEG.CITYSCAPES_SCRIPTS True needs logits: set "
                "MODEL.SEM_SEG_HEAD.OUTPUT logits"
            )
        evaluators.append(CityscapesScriptsEvaluator(dataset_name))
    return evaluators[0] if len(evaluators) == 1 else DatasetEvaluators(evaluators)
