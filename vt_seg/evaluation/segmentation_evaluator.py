"""Semantic segmentation scores, computed fast and refusing what cannot be right."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from detectron2.utils import comm

from vt_seg.data import check_labels, mask_loader

from .boundary import BoundaryCounts, boundary_iou
from .class_map import class_map
from .confusion_matrix import ConfusionMatrix
from .iou_table import format_iou_table
from .result_files import write_results
from .scores import MEAN_OVER, group_means, sem_seg_scores

logger = logging.getLogger(__name__)


class SegmentationEvaluator(SemSegEvaluator):
    """Usable in the place of Detectron2's ``SemSegEvaluator``, with its scores on valid data.

    What Detectron2 counts wrongly is an error that names the file: labels or predictions out of
    range, masks and predictions of different sizes, a dataset without a labelled pixel. Palette
    masks are read as indices. A model may give classes ``(H, W)`` instead of scores ``(C, H, W)``.
    Among processes only the confusion matrix is exchanged.

    Where a dataset's metadata name ``context_classes``, the results gain ``mIoU-context`` (mean
    over those) and ``mIoU-local`` (mean over the others).
    """

    reads_labels = True

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        sem_seg_loading_fn: Callable[..., np.ndarray] | None = None,
        num_classes: int | None = None,
        ignore_label: int | None = None,
        mean_over: str = "present",
        boundary_iou: bool = False,
        predictions_json: bool = False,
    ) -> None:
        """
        Args:
            dataset_name, distributed, output_dir, num_classes, ignore_label: as Detectron2's.
            sem_seg_loading_fn: as Detectron2's, called with ``(file name, dtype=int)``; None reads
                masks as training does.
            mean_over: classes over which mIoU and mACC average: "present" in the ground truth, as
                Detectron2, or "all", the absent ones as 0.
            boundary_iou: compute it, per class.
            predictions_json: write the predictions to ``output_dir``, in COCO's format.

        Raises:
            ValueError: ``mean_over`` is neither.
        """
        if mean_over not in MEAN_OVER:
            raise ValueError(f'TEST.SEM_SEG.MEAN_OVER is "{mean_over}": use "present" or "all"')
        super().__init__(
            dataset_name,
            distributed,
            output_dir,
            sem_seg_loading_fn=sem_seg_loading_fn,
            num_classes=num_classes,
            ignore_label=ignore_label,
        )
        self._checks_labels = sem_seg_loading_fn is None
        if sem_seg_loading_fn is None:
            self.sem_seg_loading_fn = mask_loader(self._num_classes, self._ignore_label)
        self._mean_over = mean_over
        self._compute_boundary_iou = boundary_iou
        self._predictions_json = predictions_json and bool(output_dir)
        self._context_classes = tuple(MetadataCatalog.get(dataset_name).get("context_classes", ()))
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._matrix = ConfusionMatrix(self._num_classes, self._ignore_label)
        self._boundaries = BoundaryCounts(self._num_classes, self._ignore_label)
        self._predictions = []
        self._num_images = 0

    def process(self, inputs: Sequence[Mapping], outputs: Sequence[Mapping]) -> None:
        """Count a batch.

        Args:
            inputs: records with ``file_name``.
            outputs: ``{"sem_seg": scores (C, H, W) or classes (H, W)}`` for each.

        Raises:
            KeyError: an image that is not of the dataset.
            ValueError: labels, predictions or sizes that cannot be right; names the mask's file.
        """
        for record, output in zip(inputs, outputs, strict=True):
            image_file = record["file_name"]
            if image_file not in self.input_file_to_gt_file:
                raise KeyError(f"{image_file} is not an image of {self._dataset_name}")
            mask_file = self.input_file_to_gt_file[image_file]
            try:
                predicted = class_map(output["sem_seg"], self._num_classes)
            except ValueError as error:
                raise ValueError(f"{image_file} of {self._dataset_name}: {error}") from error
            truth = self._read_truth(mask_file)
            if truth.shape != tuple(predicted.shape):
                raise ValueError(
                    f"{mask_file} is {_size(truth.shape)} pixels, the prediction for {image_file} "
                    f"{_size(predicted.shape)} (height x width): image and mask must have one size"
                )
            self._matrix.add(predicted, torch.from_numpy(truth))
            self._num_images += 1
            if self._compute_boundary_iou:
                self._boundaries.add(predicted.cpu().numpy(), truth)
            if self._predictions_json:
                classes = predicted.cpu().numpy().astype(int)
                self._predictions.extend(self.encode_json_sem_seg(classes, image_file))

    def evaluate(self) -> OrderedDict | None:
        """The scores of all images of all processes.

        Returns:
            ``{"sem_seg": {...}}``, see :func:`sem_seg_scores`; None except on the main process.

        Raises:
            ValueError: no image was processed, or not one pixel of them is labelled.
        """
        matrix, boundaries = self._matrix.counts(), self._boundaries.counts
        num_images, predictions = self._num_images, self._predictions
        if self._distributed:
            parts = comm.gather((matrix, boundaries, num_images, predictions))
            if not comm.is_main_process():
                return None
            matrix, boundaries, num_images = (sum(part[i] for part in parts) for i in range(3))
            predictions = [entry for part in parts for entry in part[3]]
        if not num_images:
            raise ValueError(f"{self._dataset_name}: no image was evaluated")
        if not matrix.any():
            raise ValueError(
                f"{self._dataset_name}: all pixels of all {num_images} masks have the ignore label "
                f"{self._ignore_label}, so there is no score; does it have labels for this split?"
            )

        names = self._class_names
        boundary_ious = boundary_iou(boundaries) if self._compute_boundary_iou else None
        scores = sem_seg_scores(matrix, names, self._mean_over, boundary_ious)
        scores.update(group_means(scores, names, self._context_classes, self._mean_over))
        logger.info(
            "%s, %d images, IoU in percent:\n%s",
            self._dataset_name,
            num_images,
            format_iou_table(scores, names, self._context_classes),
        )
        if self._output_dir:
            write_results(
                self._output_dir,
                scores,
                matrix,
                names,
                predictions if self._predictions_json else None,
            )
        return OrderedDict(sem_seg=scores)

    def _read_truth(self, mask_file: str) -> np.ndarray:
        """Labels ``(H, W)``, each a class or the ignore label."""
        if self._checks_labels:
            return self.sem_seg_loading_fn(mask_file)
        truth = self.sem_seg_loading_fn(mask_file, dtype=int)
        if truth.size and truth.min() < 0 and self._ignore_label >= 0:
            raise ValueError(f"{mask_file} holds label {truth.min()}: labels start at 0")
        check_labels(truth, self._num_classes, self._ignore_label, mask_file)
        return truth


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
