"""Top-1 and top-5 accuracy of image classifiers."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate
from torch import Tensor

from vt_seg.data import class_names

from .results import write_csv

logger = logging.getLogger(__name__)

_MOST_ROWS = 20  # in the table of the log


class ClassificationEvaluator(DatasetEvaluator):
    """Top-1 and top-5 accuracy, also per class.

    Top-5 is left out where there are at most five classes, as it would be 100 %. Between processes
    only the counts are exchanged.
    """

    def __init__(
        self, dataset_name: str, distributed: bool = True, output_dir: str | None = None
    ) -> None:
        """Create an evaluator; ``output_dir`` takes ``classification_per_class.csv``."""
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._output_dir = output_dir
        self._class_names = class_names(dataset_name)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        # Images, top-1 hits, top-5 hits of each class.
        self._counts = torch.zeros(3, len(self._class_names), dtype=torch.int64)

    def process(self, inputs: Sequence[Mapping], outputs: Sequence[Mapping]) -> None:
        """Count records with ``file_name`` and ``label``, from ``{"logits": (K,)}`` for each.

        Raises:
            ValueError: If logits are missing, not finite or not one per class, or if a label is
                out of range; the message names the file.
        """
        for record, output in zip(inputs, outputs, strict=True):
            label = record["label"]
            logits = self._checked_logits(label, output, record["file_name"])
            hits = logits.topk(min(5, len(logits))).indices == label
            self._counts[:, label] += torch.stack([torch.tensor(True), hits[0], hits.any()])

    def evaluate(self) -> OrderedDict | None:
        """Return ``{"classification": {"top1": percent, "top5": percent}}`` of all processes.

        None except on the main process.

        Raises:
            ValueError: If no image was processed.
        """
        counts = self._counts
        if self._distributed:
            parts = comm.gather(counts)
            if not comm.is_main_process():
                return None
            counts = torch.stack(parts).sum(dim=0)
        images, top1, top5 = counts.sum(dim=1).tolist()
        if not images:
            raise ValueError(f"{self._dataset_name}: no image was evaluated")
        scores = {"top1": 100 * top1 / images}
        if len(self._class_names) > 5:
            scores["top5"] = 100 * top5 / images
        table = format_accuracy_table(counts, self._class_names)
        logger.info("%s, %d images, accuracy in percent:\n%s", self._dataset_name, images, table)
        if self._output_dir:
            file = Path(self._output_dir) / "classification_per_class.csv"
            write_csv(file, _rows(counts, self._class_names))
        return OrderedDict(classification=scores)

    def score_names(self) -> list[str]:
        """Return the names of the scores, as "classification/top1"."""
        top5 = ["classification/top5"] if len(self._class_names) > 5 else []
        return ["classification/top1", *top5]

    def _checked_logits(self, label: int, output: Mapping, file_name: str) -> Tensor:
        """Return the logits ``(K,)`` as float32 on the CPU."""
        where, count = f"{file_name} of {self._dataset_name}", len(self._class_names)
        if not 0 <= label < count:
            raise ValueError(
                f"{where} has label {label}, but the dataset has {count} classes, so labels are 0 "
                f"to {count - 1}"
            )
        if "logits" not in output:
            raise ValueError(
                f"{where}: the model gives {sorted(output)} and no logits; accuracy needs a "
                "classifier: set MODEL.META_ARCHITECTURE ImageClassifier"
            )
        logits = output["logits"].detach().float().cpu()
        if logits.shape != (count,):
            raise ValueError(
                f"{where}: the model's logits have shape {tuple(logits.shape)}, the dataset has "
                f"{count} classes: set MODEL.CLASSIFIER.NUM_CLASSES {count}"
            )
        if not logits.isfinite().all():
            raise ValueError(
                f"{where}: the logits are not all finite numbers; has training diverged "
                "(SOLVER.BASE_LR)?"
            )
        return logits


def format_accuracy_table(counts: Tensor, class_names: Sequence[str]) -> str:
    """Return a table of the accuracy of each class, or of the 20 worst, and of all images.

    ``counts`` are ``(3, K)``: images, top-1 hits, top-5 hits.
    """
    header, *rows, total = _rows(counts, class_names)
    if len(rows) > _MOST_ROWS:
        header[0] = f"the {_MOST_ROWS} worst of {len(rows)} classes"
        seen = [row for row in rows if row[1] != "0"]  # a class without images has no accuracy
        rows = sorted(seen, key=lambda row: float(row[2]))[:_MOST_ROWS]
    columns = ("left", *["right"] * (len(header) - 1))
    return tabulate([*rows, total], header, "simple", disable_numparse=True, colalign=columns)


def _rows(counts: Tensor, class_names: Sequence[str]) -> list[list[str]]:
    """Return a header, a row per class, and a row of all images; top-5 from six classes on."""
    header = ["class", "images", "top-1", "top-5"][: 4 if len(class_names) > 5 else 3]
    counts = torch.cat([counts, counts.sum(dim=1, keepdim=True)], dim=1)
    rows = [header]
    for name, (images, *hits) in zip([*class_names, "all images"], counts.T.tolist(), strict=True):
        shares = [f"{100 * hit / images:.2f}" if images else "" for hit in hits]
        rows.append([name, str(images), *shares][: len(header)])
    return rows
