"""Write checkpoints that survive a kill; load those of Detectron2, torchvision and classifiers."""

import logging
import os
from typing import Any
from urllib.parse import parse_qs, urlparse

import torch
from detectron2.checkpoint import DetectionCheckpointer
from fvcore.common.checkpoint import Checkpointer
from torch import nn

from vt_seg.files import atomic_file, write_atomically

from .conversions import (
    TORCHVISION_INPUT,
    adapt_stem,
    convert_torchvision_resnet,
    is_classifier,
    is_torchvision_resnet,
    move_backbone,
)
from .input_conventions import describe_difference
from .load_report import report_load
from .reading import CheckpointError, last_checkpoint, read_checkpoint, require_readable_file
from .state_dicts import to_detectron2_layout, without_counters, without_lightning_prefix
from .tensor_check import check_tensors

logger = logging.getLogger(__name__)


def require_readable_weights(path: str) -> None:
    """Raise CheckpointError unless ``MODEL.WEIGHTS`` is "", an address or a file to read."""
    if path and "://" not in path:
        require_readable_file(path if os.path.exists(path) else _without_query(path))


def _without_query(path: str) -> str:
    return urlparse(path)._replace(query="").geturl()


class SegmentationCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer with additions, for all models here.

    - Files get their names only when they are complete, so that no kill leaves half of one.
    - Files are read as data (:func:`.reading.read_checkpoint`), wherever they are from.
    - The log says how much was loaded. It is an error if nothing fits, if weights are no finite
      floats, or, with ``require_complete`` and in resuming, if a part of the model stays random.
    - Training starts from weights for colours with images of any channels (`adapt_stem`).
    - torchvision's ResNets are converted, and an ``ImageClassifier`` becomes the backbone of any
      other model.
    - Checkpoints record which input their weights expect; loading them for another is a warning.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        input_convention: dict[str, Any] | None = None,
        require_complete: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take Detectron2's arguments and two more.

        ``input_convention``, of :func:`vt_seg.checkpoint.input_convention`, is recorded and
        compared. With ``require_complete``, ``load`` has to set every tensor of the model.
        """
        super().__init__(model, save_dir, **kwargs)
        self.input_convention = input_convention
        self.require_complete = require_complete

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth``, with ``kwargs``, and point ``last_checkpoint`` to it."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        if self.input_convention is not None:
            data["input"] = self.input_convention
        data.update({key: obj.state_dict() for key, obj in self.checkpointables.items()})
        data.update(kwargs)

        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        with atomic_file(path) as file:
            torch.save(data, file)
        self.tag_last_checkpoint(os.path.basename(path))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the checkpoint that a resumed run starts from."""
        path = os.path.join(self.save_dir, "last_checkpoint")
        write_atomically(path, last_filename_basename.encode())

    def has_checkpoint(self) -> bool:
        """Return True if ``last_checkpoint`` names a file."""
        return bool(self.get_checkpoint_file())

    def get_checkpoint_file(self) -> str:
        """Return the path that ``last_checkpoint`` names, for training loops of others."""
        return last_checkpoint(self.save_dir)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load weights, report how many, and return what else the checkpoint holds.

        Args:
            path: a file, or an address that Detectron2's path manager knows; "" loads nothing.
            checkpointables: names of what is loaded with the model; None for all. If there are
                any, training goes on, and the model has to be complete.

        Raises:
            CheckpointError: if the file is no checkpoint or damaged, names code, does not fit the
                model or holds values that are no weights.
        """
        require_readable_weights(path)
        loads_others = self.checkpointables if checkpointables is None else checkpointables
        self._source, self._complete = path, self.require_complete or bool(loads_others)
        try:
            # Detectron2 takes what follows a ? in the name of a folder as a query.
            is_misread = os.path.isfile(path) and path != _without_query(path)
            load = Checkpointer.load if is_misread else DetectionCheckpointer.load
            rest = load(self, path, checkpointables)
        finally:
            self._parsed_url_during_load = None  # Detectron2 does not reset it after an error
        if isinstance(rest.get("input"), dict) and self.input_convention is not None:
            difference = describe_difference(rest["input"], self.input_convention)
            if difference:
                logger.warning("%s: %s", path, difference)
        return rest

    def _load_file(self, filename: str) -> dict[str, Any]:
        loaded = to_detectron2_layout(read_checkpoint(filename), filename)
        query = {} if os.path.isfile(self._source) else parse_qs(urlparse(self._source).query)
        heuristics = query.pop("matching_heuristics", ["False"]) == ["True"]
        loaded["matching_heuristics"] = heuristics or loaded.get("matching_heuristics") is True
        if query:
            raise CheckpointError(
                f"{self._source}: {', '.join(query)} after the ? is unknown; only "
                "matching_heuristics=True is"
            )
        expected = self.model.state_dict()
        loaded["model"] = without_lightning_prefix(loaded["model"], expected)
        for part in loaded.values():
            if isinstance(part, dict):  # the model and, next to it, an average of its weights
                check_tensors(part, self._source, expected)
        if not self._complete:
            loaded["model"] = adapt_stem(loaded["model"], expected, self._source)
        if is_torchvision_resnet(loaded["model"]):
            self.logger.info("%s is a torchvision ResNet: converting its names", filename)
            for_classifier = is_classifier(expected)
            return {
                "model": convert_torchvision_resnet(loaded["model"], for_classifier),
                "matching_heuristics": not for_classifier,
                "__author__": "torchvision",
                "input": TORCHVISION_INPUT,
            }
        return loaded

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        self._classifier_to: str | None = None
        if is_classifier(checkpoint["model"]):
            checkpoint["model"], prefix = move_backbone(checkpoint["model"], self.model)
            if not is_classifier(self.model.state_dict()):
                self._classifier_to = prefix.rstrip(".") or "this model"
        self._file_keys = list(checkpoint["model"])
        return super()._load_model(checkpoint)

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        for keys in (incompatible.missing_keys, incompatible.unexpected_keys):
            keys[:] = without_counters(keys)
        report_load(
            *(self._source, self._file_keys, self.model.state_dict(), incompatible),
            require_complete=self._complete,
            classifier_to=self._classifier_to,
        )
        if self._classifier_to is None:
            super()._log_incompatible_keys(incompatible)
