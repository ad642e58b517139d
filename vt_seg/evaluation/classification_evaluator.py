"""Top-1 and top-5 accuracy of image classifiers."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate
from torch import Tensor

from vt_seg.data import class_names
from vt_seg.files.atomic_writer import write_atomically

logger = logging.getLogger(__name__)

_MOST_ROWS = 20  # of the table in the log
_IMAGES, _TOP1, _TOP5 = range(3)


class ClassificationEvaluator(DatasetEvaluator):
    """Counts, per class, the images whose class is the model's first choice, or among its five.

    With five classes or fewer every image is among the first five, so top-5 is left out. Among
    processes only the counts are exchanged.
    """

    def __init__(
        self, dataset_name: str, distributed: bool = True, output_dir: str | None = None
    ) -> None:
        """
        Args:
            dataset_name: a registered dataset with ``classes``.
            distributed: gather the counts of all processes; else each evaluates its own.
            output_dir: where ``classification_per_class.csv`` goes; None writes none.
        """
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._output_dir = output_dir
        self._class_names = class_names(dataset_name)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._counts = torch.zeros(3, len(self._class_names), dtype=torch.int64)

    def process(self, inputs: Sequence[Mapping], outputs: Sequence[Mapping]) -> None:
        """Count a batch.

        Args:
            inputs: records with ``file_name`` and ``label``.
            outputs: ``{"logits": (K,)}`` for each.

        Raises:
            ValueError: no logits or another number of them than classes, a label that is no class,
                logits that are not finite; names the file.
        """
        checked = [self._checked(*pair) for pair in zip(inputs, outputs, strict=True)]
        if not checked:
            return
        logits = torch.stack(checked).float().cpu()
        labels = torch.tensor([int(record["label"]) for record in inputs])
        if not logits.isfinite().all():
            wrong = int((~logits.isfinite().all(dim=1)).nonzero()[0])
            raise ValueError(
                f"{inputs[wrong]['file_name']} of {self._dataset_name}: the logits are not all "
                "finite numbers; has training diverged (SOLVER.BASE_LR)?"
            )
        best = logits.topk(min(5, logits.shape[1])).indices
        hits = best == labels[:, None]
        self._counts[_IMAGES].index_add_(0, labels, torch.ones_like(labels))
        self._counts[_TOP1].index_add_(0, labels, hits[:, 0].long())
        self._counts[_TOP5].index_add_(0, labels, hits.any(dim=1).long())

    def evaluate(self) -> OrderedDict | None:
        """The accuracy over all images of all processes.

        Returns:
            ``{"classification": {"top1": percent, "top5": percent}}``; None except on the main
            process.

        Raises:
            ValueError: no image was processed.
        """
        counts = self._counts
        if self._distributed:
            parts = comm.gather(counts)
            if not comm.is_main_process():
                return None
            counts = torch.stack(parts).sum(dim=0)
        images, first, five = counts.sum(dim=1).tolist()
        if not images:
            raise ValueError(f"{self._dataset_name}: no image was evaluated")
        scores = {"top1": 100 * first / images}
        if len(self._class_names) > 5:
            scores["top5"] = 100 * five / images
        logger.info(
            "%s, %d images, accuracy in percent:\n%s",
            self._dataset_name,
            images,
            format_accuracy_table(counts, self._class_names),
        )
        if self._output_dir:
            folder = Path(self._output_dir)
            os.makedirs(folder, exist_ok=True)
            text = io.StringIO(newline="")
            csv.writer(text).writerows(_rows(counts, self._class_names))
            write_atomically(folder / "classification_per_class.csv", text.getvalue().encode())
        return OrderedDict(classification=scores)

    def _checked(self, record: Mapping, output: Mapping) -> Tensor:
        where = f"{record['file_name']} of {self._dataset_name}"
        num_classes = len(self._class_names)
        if not 0 <= record["label"] < num_classes:
            raise ValueError(
                f"{where} has label {record['label']}, but the dataset has {num_classes} classes, "
                f"so labels are 0 to {num_classes - 1}"
            )
        if "logits" not in output:
            raise ValueError(
                f"{where}: the model gives {sorted(output)} and no logits; to evaluate accuracy "
                "takes a classifier, MODEL.META_ARCHITECTURE ImageClassifier"
            )
        if output["logits"].shape != (num_classes,):
            raise ValueError(
                f"{where}: the model's logits have shape {tuple(output['logits'].shape)}, the "
                f"dataset has {num_classes} classes: set MODEL.CLASSIFIER.NUM_CLASSES {num_classes}"
            )
        return output["logits"].detach()


def format_accuracy_table(counts: Tensor, class_names: Sequence[str]) -> str:
    """The accuracy of each class, or of the 20 worst where there are more, and of all images.

    Args:
        counts: ``(3, K)``: images, hits of the first choice, hits among the first five.
        class_names: K names.
    """
    header, *rows, total = _rows(counts, class_names)
    title = f"the {_MOST_ROWS} worst of {len(rows)} classes"
    if len(rows) > _MOST_ROWS:
        seen = [row for row in rows if row[1]]  # a class without images has no accuracy
        rows = sorted(seen, key=lambda row: float(row[2]))[:_MOST_ROWS]
        header = [title, *header[1:]]
    columns = ("left", *["right"] * (len(header) - 1))
    table = [[str(cell) for cell in row] for row in (*rows, total)]
    return tabulate(table, header, "simple", disable_numparse=True, colalign=columns)


def _rows(counts: Tensor, class_names: Sequence[str]) -> list[list]:
    """Header, a row a class, and all images; top-5 only where it says something."""
    with_five = len(class_names) > 5
    rows: list[list] = [["class", "images", "top-1", *(["top-5"] if with_five else [])]]
    everything = torch.cat([counts, counts.sum(dim=1, keepdim=True)], dim=1)
    for name, (images, first, five) in zip(
        [*class_names, "all images"], everything.T.tolist(), strict=True
    ):
        hits = (first, five) if with_five else (first,)
        shares = [f"{100 * hit / images:.2f}" if images else "" for hit in hits]
        rows.append([name, images, *shares])
    return rows
