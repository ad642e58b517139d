"""The evaluator that fits a dataset."""

import os

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    COCOEvaluator,
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
)

from vt_seg.config import require_vt_seg_keys
from vt_seg.files.paths_below import path_below

from .classification_evaluator import ClassificationEvaluator
from .segmentation_evaluator import SegmentationEvaluator

_PARTS = {
    "sem_seg": ("sem_seg",),
    "coco": ("coco",),
    "coco_panoptic_seg": ("sem_seg", "coco", "panoptic"),
    "classification": ("classification",),
}


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_folder: str | None = None
) -> DatasetEvaluator:
    """The evaluator for the dataset's metadata key ``evaluator_type``.

    Args:
        cfg: ``TEST.SEM_SEG``, ``DATASETS.TEST`` and ``OUTPUT_DIR`` are read.
        dataset_name: a registered dataset.
        output_folder: where predictions and results go; default ``OUTPUT_DIR/inference``, with a
            folder for each dataset in it where ``DATASETS.TEST`` names several.

    Raises:
        ValueError: the metadata name no evaluator, or one that is not known here; or the results of
            one of several test sets would lie outside of ``inference``, as its name has "..".
    """
    require_vt_seg_keys(cfg, "TEST.SEM_SEG")
    if not output_folder:
        output_folder = os.path.join(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            output_folder = path_below(output_folder, dataset_name, "DATASETS.TEST")
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind not in _PARTS:
        raise ValueError(
            f"Dataset {dataset_name} has evaluator_type {kind!r} in its metadata; known are "
            f"{', '.join(_PARTS)}. For semantic segmentation set "
            f'MetadataCatalog.get("{dataset_name}").set(evaluator_type="sem_seg").'
        )

    def make(part: str) -> DatasetEvaluator:
        if part == "coco":
            return COCOEvaluator(dataset_name, output_dir=output_folder)
        if part == "panoptic":
            return COCOPanopticEvaluator(dataset_name, output_folder)
        if part == "classification":
            return ClassificationEvaluator(dataset_name, output_dir=output_folder)
        options = cfg.TEST.SEM_SEG
        return SegmentationEvaluator(
            dataset_name,
            output_dir=output_folder,
            mean_over=options.MEAN_OVER,
            boundary_iou=options.BOUNDARY_IOU,
            predictions_json=options.PREDICTIONS_JSON,
        )

    evaluators = [make(part) for part in _PARTS[kind]]
    return evaluators[0] if len(evaluators) == 1 else DatasetEvaluators(evaluators)
