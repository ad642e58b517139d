"""Sample predictions and the confusion matrix, as pictures in the event storage."""

import logging
import os

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from vt_seg.data import ImageReader, read_checked_labels, read_image, spread_evenly
from vt_seg.drawing import draw_comparison
from vt_seg.evaluation import to_label_map
from vt_seg.modeling import unwrapped

from .evaluation import evaluation_autocast, label_model, optimized
from .random_state import random_state_kept
from .tasks import task_of
from .validation_loss import evaluation_mode

logger = logging.getLogger(__name__)


class EvaluationPictures:
    """Draws ``TEST.PICTURES`` images of each test set, the same each time, and confusion matrices.

    "predictions/0", ... are image, ground truth, prediction and errors, "confusion_matrix" is
    what the evaluation wrote; behind the name of the test set where there are several.
    """

    def __init__(self, cfg: CfgNode, suffix: str = "") -> None:
        """Create it; ``suffix`` is that of names and the evaluation's folder: "" or "_EMA"."""
        self._cfg, self._suffix = cfg, suffix
        self._records: dict[str, list[dict]] = {}
        self._seen: dict[str, int] = {}  # times of the files that were read

    def put(self, model: nn.Module) -> None:
        """Put the pictures of a model; what cannot be drawn is a warning."""
        # Other processes wait for the main one.
        for dataset in self._cfg.DATASETS.TEST if comm.is_main_process() else ():
            prefix = f"{dataset}/" if len(self._cfg.DATASETS.TEST) > 1 else ""
            try:
                self._put_confusion_matrix(prefix)
                self._put_predictions(model, dataset, prefix)
            # They are not worth a training, whatever a drawing library may raise.
            except Exception as error:
                logger.warning("Pictures of %s could not be drawn: %s", dataset, error)

    def _put_predictions(self, model: nn.Module, dataset: str, prefix: str) -> None:
        num = self._cfg.TEST.PICTURES
        if dataset not in self._records:
            self._records[dataset] = spread_evenly(DatasetCatalog.get(dataset), num)
        task = task_of(self._cfg)
        mapper, metadata = task.build_mapper(is_train=False), MetadataCatalog.get(dataset)
        images, model = ImageReader.of(self._cfg), unwrapped(model)
        predict = label_model(optimized(self._cfg, model))
        autocast = evaluation_autocast(self._cfg, model)
        for number, record in enumerate(self._records[dataset]):
            with random_state_kept(), evaluation_mode(model), torch.no_grad(), autocast:
                output = predict([mapper(record)])[0]["sem_seg"]
            predicted = to_label_map(output, task.num_classes).cpu().numpy()
            image = images.picture(images(record["file_name"]))
            truth = read_checked_labels(record, task.num_classes, metadata.ignore_label)
            picture = draw_comparison(image, truth, predicted, metadata)
            _put(f"{prefix}predictions{self._suffix}/{number}", picture)

    def _put_confusion_matrix(self, prefix: str) -> None:
        folder = os.path.join(self._cfg.OUTPUT_DIR, f"inference{self._suffix}", prefix)
        path = os.path.join(folder, "sem_seg_confusion.png")
        written = os.stat(path).st_mtime_ns if os.path.isfile(path) else 0
        if written > self._seen.get(path, 0):  # else the evaluation could not write it
            self._seen[path] = written
            _put(f"{prefix}confusion_matrix{self._suffix}", read_image(path, "RGB"))


def _put(name: str, picture: np.ndarray) -> None:
    get_event_storage().put_image(name, np.ascontiguousarray(picture.transpose(2, 0, 1)))
