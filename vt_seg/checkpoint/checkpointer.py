"""Checkpoints that survive a kill, and that may come from torchvision or an image classifier."""

import logging
import os
from typing import Any
from urllib.parse import parse_qs, urlparse

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from vt_seg.files import atomic_file, write_atomically

from . import torchvision_resnet
from .classifier_backbone import (
    backbone_prefix,
    counted,
    describe_transfer,
    is_classifier_checkpoint,
    move_backbone,
    under_classifier_names,
)
from .fit import report_fit
from .input_convention import describe_difference
from .last_checkpoint import last_checkpoint
from .layouts import to_detectron2_layout
from .reading import CheckpointError, read_checkpoint, require_readable_file
from .tensor_check import check_tensors

logger = logging.getLogger(__name__)


class SegmentationCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer for all models here, classifiers too, with additions.

    Files get their names only when they are complete. fvcore writes both the checkpoint and the
    file ``last_checkpoint`` in place: a kill while one is being overwritten would leave a run
    that cannot be resumed, though an older checkpoint is whole.

    Files are read as data (:func:`vt_seg.checkpoint.read_checkpoint`), whatever their format and
    wherever Detectron2's path manager has them from. The log says how many tensors were loaded.
    Nothing loaded, or weights that are not finite or no floats, are an error; so is a part of the
    model that is left random, with ``require_complete`` and in resuming.

    torchvision's ResNet checkpoints are recognised by their keys and converted.

    Checkpoints of an ``ImageClassifier`` become the backbone of any other model; the log says in a
    few lines what was loaded and what starts fresh.

    A checkpoint records which input its weights expect (channel order, mean, deviation); loading it
    for another is a warning.
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
        """
        Args:
            model, save_dir, kwargs: as for ``DetectionCheckpointer``.
            input_convention: of :func:`vt_seg.checkpoint.input_convention.input_convention`, to
                record and to compare; None for neither.
            require_complete: whether ``load`` has to set every tensor of the model, as evaluation
                and prediction want; fine-tuning does not.
        """
        super().__init__(model, save_dir, **kwargs)
        self.input_convention = input_convention
        self.require_complete = require_complete
        self._transfer_prefix: str | None = None  # set while a classifier is loaded as a backbone

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` and point ``last_checkpoint`` to it.

        Args:
            name: file name without extension.
            kwargs: what to save beside the model and the checkpointables.
        """
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
        """Return True if ``last_checkpoint`` names a file; see :meth:`get_checkpoint_file`."""
        return bool(self.get_checkpoint_file())

    def get_checkpoint_file(self) -> str:
        """Return the path that ``last_checkpoint`` names, "" if it names none in this folder.

        For ``resume_or_load(resume=True)`` in training loops of others. The trainer and the tools
        here take the newest whole checkpoint, with or without that file
        (:mod:`vt_seg.engine.run_folder`).
        """
        return last_checkpoint(self.save_dir)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load as Detectron2's; the log says how much, and warns of weights for another input.

        Args:
            path: a file, or an address that Detectron2's path manager knows; "" loads nothing.
            checkpointables: names of what is loaded beside the model; None for all. If there are
                any, training goes on, and the model has to be complete.

        Returns:
            what else the checkpoint holds.

        Raises:
            CheckpointError: if the file is no checkpoint or damaged, names code, does not fit the
                model or holds values that are no weights.
        """
        if path and "://" not in path:
            require_readable_file(urlparse(path)._replace(query="").geturl())
        loads_others = self.checkpointables if checkpointables is None else checkpointables
        self._source, self._complete = path, self.require_complete or bool(loads_others)
        try:
            rest = super().load(path, checkpointables)
        finally:
            self._parsed_url_during_load = None  # Detectron2 leaves it behind an error
        if isinstance(rest.get("input"), dict) and self.input_convention is not None:
            difference = describe_difference(rest["input"], self.input_convention)
            if difference:
                logger.warning("%s: %s", path, difference)
        return rest

    def _load_file(self, filename: str) -> dict[str, Any]:
        loaded = to_detectron2_layout(read_checkpoint(filename), filename)
        query = parse_qs(self._parsed_url_during_load.query)
        heuristics = query.pop("matching_heuristics", ["False"]) == ["True"]
        loaded["matching_heuristics"] = heuristics or loaded.get("matching_heuristics") is True
        if query:
            raise CheckpointError(
                f"{self._source}: {', '.join(query)} after the ? is unknown; only "
                "matching_heuristics=True is"
            )
        for part in loaded.values():
            if isinstance(part, dict):  # the model and, beside it, an average of its weights
                check_tensors(part, self._source, self.model.state_dict())
        if torchvision_resnet.is_torchvision_resnet(loaded["model"]):
            self.logger.info("%s is a torchvision ResNet: converting its names", filename)
            weights = torchvision_resnet.convert_torchvision_resnet(loaded["model"])
            source = {"__author__": "torchvision", "input": torchvision_resnet.INPUT_CONVENTION}
            if is_classifier_checkpoint(self.model.state_dict()):
                return {"model": under_classifier_names(weights), **source}
            return {"model": weights, "matching_heuristics": True, **source}
        return loaded

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        self._transfer_prefix = None
        if is_classifier_checkpoint(checkpoint["model"]):
            prefix = backbone_prefix(self.model)
            checkpoint["model"] = move_backbone(checkpoint["model"], prefix)
            if not is_classifier_checkpoint(self.model.state_dict()):
                self._transfer_prefix = prefix
        self._file_keys = list(checkpoint["model"])
        return super()._load_model(checkpoint)

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        for keys in (incompatible.missing_keys, incompatible.unexpected_keys):
            keys[:] = counted(keys)
        model_keys = list(self.model.state_dict())
        report_fit(
            self._source,
            self._file_keys,
            model_keys,
            incompatible.missing_keys,
            incompatible.incorrect_shapes,
            self._complete,
        )
        prefix, self._transfer_prefix = self._transfer_prefix, None
        if prefix is None:
            super()._log_incompatible_keys(incompatible)
            return
        in_backbone = {key for key in counted(model_keys) if key.startswith(prefix)}
        fits = not incompatible.incorrect_shapes and in_backbone - set(incompatible.missing_keys)
        summary = describe_transfer(model_keys, *incompatible, prefix)
        logger.log(logging.INFO if fits else logging.WARNING, summary)
