"""Calibration of a segmentor's probabilities, counted image by image, and a temperature for it."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vt_seg.files import write_atomically

from .reliability import (
    NUM_BINS,
    bin_counts,
    calibration_error,
    calibration_table,
    draw_reliability,
)
from .results import write_csv
from .temperature import TEMPERATURES, HeldOut, LogitSample, fit_temperature, scale_held_out

logger = logging.getLogger(__name__)

_STRIP_LOGITS = 2**22  # of full-size logits that are read at a time
_KEY = "MODEL.SEM_SEG_HEAD.TEMPERATURE"


class LogitRows(Protocol):
    """Logits of an image that are computed as they are read, as `vt_seg.inference.LogitMap`'s."""

    num_classes: int

    def strips(self) -> list[tuple[int, int]]:
        """Return ``(top, bottom)`` of strips of rows that cover the image."""

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the logits ``(C, bottom - top, W)`` of some rows."""

    def label_map(self) -> Tensor:
        """Return the argmax ``(H, W)``."""


class Calibration:
    """Labelled pixels by predicted class and confidence, and a sample of their logits."""

    def __init__(self, num_classes: int, ignore_label: int, num_images: int) -> None:
        """Prepare for a dataset of ``num_images``."""
        self._ignore_label = ignore_label
        self._counts = np.zeros((3, num_classes, NUM_BINS))
        self._sample = LogitSample(num_classes, num_images)

    def add(
        self, sem_seg: Tensor | LogitRows, predicted: Tensor, truth: np.ndarray, index: int
    ) -> None:
        """Count the image that is the dataset's number ``index``.

        Args:
            sem_seg: Logits ``(C, H, W)``, or what computes them; they are read in strips of rows.
            predicted: Their argmax ``(H, W)``.
            truth: Label map ``(H, W)``.
            index: Decides which pixels are sampled.

        Raises:
            ValueError: If it is a label map, or if logits are not finite.
        """
        labelled, classes = truth != self._ignore_label, predicted.cpu().numpy()
        chosen = self._sample.choose(labelled, index)
        for top, logits in _strips(sem_seg):
            rows = slice(top, top + logits.shape[1])
            confidence = (logits.amax(dim=0) - logits.logsumexp(dim=0)).exp().cpu().numpy()
            here = labelled[rows]
            confidence = confidence.astype(float)[here]
            if not np.isfinite(confidence).all():
                raise ValueError(
                    "the logits are not all finite numbers; has training diverged (SOLVER.BASE_LR)?"
                )
            predicted_here, truth_here = classes[rows][here], truth[rows][here]
            num_classes = self._counts.shape[1]
            self._counts += bin_counts(confidence, predicted_here, truth_here, num_classes)
            places = torch.from_numpy(chosen[rows]).to(logits.device)
            self._sample.add(logits[:, places].T, truth[rows][chosen[rows]], index)

    def merge(self, others: Sequence["Calibration"]) -> None:
        """Take the pixels of other processes, too."""
        self._counts = self._counts + sum(other._counts for other in others)
        self._sample.merge([other._sample for other in others])

    def error(self) -> float:
        """Return the expected calibration error of all pixels, in percent."""
        return calibration_error(self._counts.sum(axis=1))

    def report(
        self,
        dataset_name: str,
        class_names: Sequence[str],
        temperature: float,
        folder: str | None = None,
    ) -> None:
        """Fit a temperature, log it, and write it with the table and the diagram into ``folder``.

        ``temperature`` is that by which the logits were divided. What is told is the value for the
        key, the product of both; a warning, and null in the file, says that none fits.
        """
        logits, labels, _ = self._sample.tensors()
        factor = fit_temperature(logits, labels)
        pixels = self._counts.sum(axis=1)
        diagrams = {f"{int(pixels[0].sum())} pixels, temperature {temperature:.4g}": pixels}
        result = {"key": _KEY, "used": temperature, "fitted": None, "pixels": len(labels)}
        result |= {"ECE": self.error(), "held-out images": None}
        measured = f"{dataset_name}, ECE {self.error():.2f} % at temperature {temperature:.4g}"
        if not TEMPERATURES[0] * 1.01 < factor < TEMPERATURES[1] / 1.01:
            logger.warning(
                "%s. No temperature from %g to %g fits, as for a model that is always right, or no "
                "better than chance",
                *(measured, *TEMPERATURES),
            )
        else:
            result["fitted"] = temperature * factor
            effect = "too few images to tell its effect on others"
            held_out = scale_held_out(self._sample)
            if held_out is not None:
                result["held-out images"], effect = _described(held_out)
                diagrams["held-out images, scaled"] = held_out.after
            logger.info("%s. Fitted: %s %.4g; %s", measured, _KEY, temperature * factor, effect)
        if folder:
            path = Path(folder)
            write_csv(
                path / "sem_seg_calibration.csv", calibration_table(self._counts, class_names)
            )
            write_atomically(path / "sem_seg_reliability.png", draw_reliability(diagrams))
            text = json.dumps(result, indent=2)
            write_atomically(path / "sem_seg_temperature.json", f"{text}\n".encode())


def _described(held_out: HeldOut) -> tuple[dict[str, float], str]:
    before, after = calibration_error(held_out.before), calibration_error(held_out.after)
    losses = (held_out.nll_before, held_out.nll_after)
    keys = ("ECE before", "ECE after", "NLL before", "NLL after")
    return dict(zip(keys, (before, after, *losses), strict=True)), (
        f"on held-out images, scaling takes ECE from {before:.2f} to {after:.2f} % and NLL from "
        "{:.4f} to {:.4f}".format(*losses)
    )


def _strips(sem_seg: Tensor | LogitRows) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and the logits ``(C, h, W)``, float32 or float64, of strips of rows."""
    if not isinstance(sem_seg, Tensor):
        for top, bottom in sem_seg.strips():
            yield top, sem_seg.rows(top, bottom)
        return
    if sem_seg.ndim != 3:
        raise ValueError(
            "TEST.SEM_SEG.CALIBRATION needs logits, and the model gives a label map: set "
            "MODEL.SEM_SEG_HEAD.OUTPUT logits"
        )
    num_classes, height, width = sem_seg.shape
    step = max(1, _STRIP_LOGITS // max(1, num_classes * width))
    for top in range(0, height, step):
        strip = sem_seg[:, top : top + step].detach()
        yield top, strip if strip.dtype == torch.float64 else strip.float()
