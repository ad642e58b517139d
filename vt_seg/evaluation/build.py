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

from vt_seg.data import mask_loader

from .sem_seg import PerClassSemSegEvaluator

_PARTS = {
    "sem_seg": ("sem_seg",),
    "coco": ("coco",),
    "coco_panoptic_seg": ("sem_seg", "coco", "panoptic"),
}


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_folder: str | None = None
) -> DatasetEvaluator:
    """The evaluator for the dataset's metadata key ``evaluator_type``.

    Args:
        cfg: only ``OUTPUT_DIR`` is read.
        dataset_name: a registered dataset.
        output_folder: where predictions and results go; default ``OUTPUT_DIR/inference``.

    Raises:
        ValueError: the metadata name no evaluator, or one that is not known here.
    """
    output_folder = output_folder or os.path.join(cfg.OUTPUT_DIR, "inference")
    metadata = MetadataCatalog.get(dataset_name)
    kind = metadata.get("evaluator_type")
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
        return PerClassSemSegEvaluator(
            dataset_name,
            distributed=True,
            output_dir=output_folder,
            sem_seg_loading_fn=mask_loader(
                num_classes=len(metadata.stuff_classes), ignore_label=metadata.ignore_label
            ),
        )

    evaluators = [make(part) for part in _PARTS[kind]]
    return evaluators[0] if len(evaluators) == 1 else DatasetEvaluators(evaluators)
