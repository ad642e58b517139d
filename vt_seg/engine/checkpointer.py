"""Checkpoints that survive a kill, and that may come from torchvision."""

import os
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from vt_seg.modeling.torchvision_weights import (
    convert_torchvision_resnet,
    is_torchvision_resnet,
)


class SegmentationCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, with two additions.

    Files get their names only when they are complete. fvcore writes both the checkpoint and the
    file ``last_checkpoint`` in place: a kill while one is being overwritten would leave a run
    that cannot be resumed, though an older checkpoint is whole.

    torchvision's ResNet checkpoints are recognised by their keys and converted.
    """

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` and point ``last_checkpoint`` to it.

        Args:
            name: file name without extension.
            kwargs: what to save beside the model and the checkpointables.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data.update({key: obj.state_dict() for key, obj in self.checkpointables.items()})
        data.update(kwargs)

        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        # The extension keeps a leftover out of `get_all_checkpoint_files`.
        partial = path + ".partial"
        with open(partial, "wb") as file:
            torch.save(data, file)
        os.replace(partial, path)
        self.tag_last_checkpoint(os.path.basename(path))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the checkpoint that a resumed run starts from."""
        path = os.path.join(self.save_dir, "last_checkpoint")
        partial = path + ".partial"
        with open(partial, "w") as file:
            file.write(last_filename_basename)
        os.replace(partial, path)

    def _load_file(self, filename: str) -> dict[str, Any]:
        loaded = super()._load_file(filename)
        if is_torchvision_resnet(loaded["model"]):
            self.logger.info("%s is a torchvision ResNet: converting its names", filename)
            return {
                "model": convert_torchvision_resnet(loaded["model"]),
                "__author__": "torchvision",
                "matching_heuristics": True,
            }
        return loaded
