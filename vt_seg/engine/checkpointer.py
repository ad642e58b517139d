"""Checkpoints that survive a kill, and that may come from torchvision or an image classifier."""

import logging
import os
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from vt_seg.data.atomic_files import atomic_file, write_atomically
from vt_seg.modeling import ImageClassifier, torchvision_weights
from vt_seg.modeling.classifier_weights import (
    backbone_prefix,
    counted,
    describe_transfer,
    is_classifier_checkpoint,
    move_backbone,
    under_classifier_names,
)

from .input_convention import describe_difference

logger = logging.getLogger(__name__)


class SegmentationCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer for all models here, classifiers too, with additions.

    Files get their names only when they are complete. fvcore writes both the checkpoint and the
    file ``last_checkpoint`` in place: a kill while one is being overwritten would leave a run
    that cannot be resumed, though an older checkpoint is whole.

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
        **kwargs: Any,
    ) -> None:
        """
        Args:
            model, save_dir, kwargs: as for ``DetectionCheckpointer``.
            input_convention: of :func:`vt_seg.engine.input_convention.input_convention`, to record
                and to compare; None for neither.
        """
        super().__init__(model, save_dir, **kwargs)
        self.input_convention = input_convention
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

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As Detectron2's; warns where the weights expect another input than this run's."""
        rest = super().load(path, *args, **kwargs)
        if "input" in rest and self.input_convention is not None:
            difference = describe_difference(rest["input"], self.input_convention)
            if difference:
                logger.warning("%s: %s", path, difference)
        return rest

    def _load_file(self, filename: str) -> dict[str, Any]:
        loaded = super()._load_file(filename)
        if torchvision_weights.is_torchvision_resnet(loaded["model"]):
            self.logger.info("%s is a torchvision ResNet: converting its names", filename)
            weights = torchvision_weights.convert_torchvision_resnet(loaded["model"])
            source = {"__author__": "torchvision", "input": torchvision_weights.INPUT_CONVENTION}
            if isinstance(self.model, ImageClassifier):
                return {"model": under_classifier_names(weights), **source}
            return {"model": weights, "matching_heuristics": True, **source}
        return loaded

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        self._transfer_prefix = None
        if is_classifier_checkpoint(checkpoint["model"]):
            prefix = backbone_prefix(self.model)
            checkpoint["model"] = move_backbone(checkpoint["model"], prefix)
            if not isinstance(self.model, ImageClassifier):
                self._transfer_prefix = prefix
        return super()._load_model(checkpoint)

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        for keys in (incompatible.missing_keys, incompatible.unexpected_keys):
            keys[:] = counted(keys)
        prefix, self._transfer_prefix = self._transfer_prefix, None
        if prefix is None:
            super()._log_incompatible_keys(incompatible)
            return
        model_keys = list(self.model.state_dict())
        in_backbone = {key for key in counted(model_keys) if key.startswith(prefix)}
        fits = not incompatible.incorrect_shapes and in_backbone - set(incompatible.missing_keys)
        summary = describe_transfer(model_keys, *incompatible, prefix)
        logger.log(logging.INFO if fits else logging.WARNING, summary)
