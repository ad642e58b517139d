"""Semantic segmentation evaluation with Detectron2's scores; invalid input is an error."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from detectron2.utils import comm
from torch import Tensor

from vt_seg.data import LABEL_MAP, ImageReader, LabelMap, check_labels, read_checked_labels

from .calibration import Calibration, LogitRows
from .image_scores import ImageScores, image_score
from .metrics import MEAN_OVER, BoundaryCounts, ConfusionMatrix, boundary_iou, sem_seg_scores
from .results import format_iou_table, write_image_scores, write_results

logger = logging.getLogger(__name__)


class SegmentationEvaluator(SemSegEvaluator):
    """Drop-in replacement of Detectron2's ``SemSegEvaluator``, with its scores on valid data.

    What Detectron2 counts wrongly is an error that names the file: labels or predictions out of
    range, masks and predictions of different sizes, a dataset without a labelled pixel. Palette
    masks are read as indices. Between processes only the confusion matrix is exchanged.

    Where a dataset's metadata name ``context_classes``, the results gain ``mIoU-context`` (mean
    over those classes) and ``mIoU-local`` (mean over the others).
    """

    reads_labels = True  # label maps suffice in place of logits
    reads_logit_rows = True  # logits may be computed as they are read (`LogitRows`)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give logits to a subclass with its own ``process`` that does not say what it reads."""
        super().__init_subclass__(**kwargs)
        if "process" in vars(cls):
            for name in ("reads_labels", "reads_logit_rows"):
                setattr(cls, name, vars(cls).get(name, False))

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
        worst_images: int = 0,
        calibration: bool = False,
        temperature: float = 1.0,
        images: ImageReader | None = None,
    ) -> None:
        """Create an evaluator for one dataset.

        The arguments up to ``ignore_label`` are those of Detectron2's evaluator. Without a
        ``sem_seg_loading_fn`` masks are read as in training, by the label map of the record or the
        metadata. ``mean_over`` is that of `sem_seg_scores`. ``boundary_iou`` adds that of each
        class. ``predictions_json`` writes the predictions to ``output_dir``, in COCO's format, and
        ``worst_images`` is how many images its sheet of the worst has. ``calibration`` measures
        that of logits, which the model has divided by ``temperature``. ``images`` reads those of
        the sheet; None reads ordinary colours.

        Raises:
            ValueError: If ``mean_over`` is neither "present" nor "all".
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
        self._reads_masks = sem_seg_loading_fn is None
        self._label_map = MetadataCatalog.get(dataset_name).get(LABEL_MAP)
        self._mean_over = mean_over
        self._compute_boundary_iou = boundary_iou
        self._predictions_json = predictions_json and bool(output_dir)
        self._context_classes = tuple(MetadataCatalog.get(dataset_name).get("context_classes", ()))
        self._num_worst = worst_images if output_dir else 0
        self._image_reader = images or ImageReader()
        self._temperature = temperature
        self._measures_calibration = calibration
        if calibration:
            self.reads_labels = False
        self._index = {file: i for i, file in enumerate(self.input_file_to_gt_file)}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._matrix = ConfusionMatrix(self._num_classes, self._ignore_label)
        self._boundaries = BoundaryCounts(self._num_classes, self._ignore_label)
        self._predictions: list[dict] = []
        self._num_images = 0
        self._images = ImageScores(self._num_worst)
        self._calibration: Calibration | None = None
        if self._measures_calibration:
            sizes = (self._num_classes, self._ignore_label, len(self._index))
            self._calibration = Calibration(*sizes)

    def process(self, inputs: Sequence[Mapping], outputs: Sequence[Mapping]) -> None:
        """Count the pixels of records with ``file_name``.

        Outputs are ``{"sem_seg": logits (C, H, W) or label map (H, W)}`` for each record, or
        `LogitRows` in place of logits.

        Raises:
            KeyError: If an image does not belong to the dataset.
            ValueError: If labels or predictions are out of range, or mask and prediction differ in
                size; the message names the file.
        """
        for record, output in zip(inputs, outputs, strict=True):
            image_file = record["file_name"]
            if image_file not in self.input_file_to_gt_file:
                raise KeyError(f"{image_file} is not an image of {self._dataset_name}")
            mask_file = self.input_file_to_gt_file[image_file]
            try:
                predicted = to_label_map(output["sem_seg"], self._num_classes)
            except ValueError as error:
                raise ValueError(f"{image_file} of {self._dataset_name}: {error}") from error
            truth = self._read_truth(mask_file, record.get(LABEL_MAP, self._label_map))
            if truth.shape != tuple(predicted.shape):
                raise ValueError(
                    f"{mask_file} is {_size(truth.shape)} pixels, the prediction for {image_file} "
                    f"{_size(predicted.shape)} (height x width): image and mask must have one size"
                )
            counts = self._matrix.add(predicted, torch.from_numpy(truth))
            self._num_images += 1
            index = self._index[image_file]
            score = image_score(index, image_file, counts, self._class_names)
            self._images.add(score, truth, predicted)
            if self._calibration is not None:
                try:
                    self._calibration.add(output["sem_seg"], predicted, truth, index)
                except ValueError as error:
                    raise ValueError(f"{image_file} of {self._dataset_name}: {error}") from error
            if self._compute_boundary_iou:
                self._boundaries.add(predicted.cpu().numpy(), truth)
            if self._predictions_json:
                labels = predicted.cpu().numpy().astype(int)
                self._predictions.extend(self.encode_json_sem_seg(labels, image_file))

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"sem_seg": scores}`` of all processes, see `sem_seg_scores`.

        None except on the main process.

        Raises:
            ValueError: If no image was processed, or all pixels of all masks are ignored.
        """
        matrix, boundaries = self._matrix.counts(), self._boundaries.counts
        num_images, predictions = self._num_images, self._predictions
        images, calibration = self._images, self._calibration
        if self._distributed:
            found = (matrix, boundaries, num_images, predictions, images, calibration)
            parts = comm.gather(found)
            if not comm.is_main_process():
                return None
            matrix, boundaries, num_images = (sum(part[i] for part in parts) for i in range(3))
            predictions = [entry for part in parts for entry in part[3]]
            images, calibration = parts[0][4:]
            images.merge([part[4] for part in parts[1:]])
            if calibration is not None:
                calibration.merge([part[5] for part in parts[1:]])
        if not num_images:
            raise ValueError(f"{self._dataset_name}: no image was evaluated")
        if not matrix.any():
            raise ValueError(
                f"{self._dataset_name}: all pixels of all {num_images} masks have the ignore label "
                f"{self._ignore_label}, so there is no score; does it have labels for this split?"
            )
        names, context = self._class_names, self._context_classes
        boundary_ious = boundary_iou(boundaries) if self._compute_boundary_iou else None
        scores = sem_seg_scores(matrix, names, self._mean_over, boundary_ious, context)
        table = format_iou_table(scores, names, context)
        logger.info("%s, %d images, IoU in percent:\n%s", self._dataset_name, num_images, table)
        if calibration is not None:
            scores["ECE"] = calibration.error()
            settings = (self._temperature, self._output_dir)
            calibration.report(self._dataset_name, names, *settings)
        if self._output_dir:
            written = predictions if self._predictions_json else None
            write_results(self._output_dir, scores, matrix, names, written)
            metadata = MetadataCatalog.get(self._dataset_name)
            write_image_scores(self._output_dir, images, metadata, self._image_reader)
        return OrderedDict(sem_seg=scores)

    def score_names(self) -> list[str]:
        """Return the names of the scores, as "sem_seg/mIoU"."""
        ones = np.ones(self._num_classes) if self._compute_boundary_iou else None
        matrix = np.eye(self._num_classes)
        args = (self._class_names, self._mean_over, ones, self._context_classes)
        names = [*sem_seg_scores(matrix, *args), *(["ECE"] if self._measures_calibration else [])]
        return [f"sem_seg/{name}" for name in names]

    def _read_truth(self, mask_file: str, label_map: LabelMap | None) -> np.ndarray:
        """Return the labels ``(H, W)``, each a class or the ignore label."""
        if self._reads_masks:
            record = {"sem_seg_file_name": mask_file, LABEL_MAP: label_map}
            return read_checked_labels(record, self._num_classes, self._ignore_label)
        truth = self.sem_seg_loading_fn(mask_file, dtype=int)
        if truth.size and truth.min() < 0 and self._ignore_label >= 0:
            raise ValueError(f"{mask_file} holds label {truth.min()}: labels start at 0")
        check_labels(truth, self._num_classes, self._ignore_label, mask_file)
        return truth


def to_label_map(sem_seg: Tensor | LogitRows, num_classes: int) -> Tensor:
    """Return a label map ``(H, W)``: the argmax of logits ``(C, H, W)``, or a label map as it is.

    Raises:
        ValueError: If the tensor has another shape or type or another number of channels, or if
            a label is out of range.
    """
    if not isinstance(sem_seg, Tensor) or sem_seg.ndim == 3:
        found = len(sem_seg) if isinstance(sem_seg, Tensor) else sem_seg.num_classes
        if found != num_classes:
            raise ValueError(
                f"the model scores {found} classes, the dataset has {num_classes}: set "
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES {num_classes}"
            )
        if not isinstance(sem_seg, Tensor):
            return sem_seg.label_map()
        # The indices of `max` are those of `argmax`, which is slower on a CPU.
        return sem_seg.detach().max(dim=0).indices
    if sem_seg.ndim != 2 or sem_seg.is_floating_point() or sem_seg.is_complex():
        raise ValueError(
            f"sem_seg is a {tuple(sem_seg.shape)} tensor of {sem_seg.dtype}; need logits "
            "(C, H, W), or a label map (H, W) of an integer type"
        )
    labels = sem_seg.to(torch.int32)  # few operations exist for unsigned types
    low, high = (int(value) for value in labels.aminmax()) if labels.numel() else (0, 0)
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise ValueError(f"the model predicts class {wrong}, the dataset has 0..{num_classes - 1}")
    return labels


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
