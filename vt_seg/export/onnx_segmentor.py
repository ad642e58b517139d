"""An ONNX file in the place of a model: evaluators and loaders see no difference."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .files import onnx_run


class OnnxSegmentor(nn.Module):
    """Runs an exported file on the records of a test loader, as a segmentor does."""

    def __init__(self, path: str, input_format: str) -> None:
        """Load a file; ``input_format`` is ``INPUT.FORMAT``, the channels of the records."""
        super().__init__()
        self.run = onnx_run(path)
        self.reverses_channels = input_format == "BGR"

    def forward(self, batched_inputs: list[dict]) -> list[dict[str, Tensor]]:
        """Predict ``{"sem_seg": labels (height, width)}``, or logits, for each record.

        Labels take the nearest pixel where a record has another size than its image.
        """
        outputs = []
        for record in batched_inputs:
            image = record["image"].flip(0) if self.reverses_channels else record["image"]
            output = torch.from_numpy(self.run(image[None].numpy()))
            size = (record.get("height", image.shape[1]), record.get("width", image.shape[2]))
            if output.ndim == 4:
                output = F.interpolate(output, size=size, mode="bilinear", align_corners=False)
            elif size != output.shape[1:]:
                resized = F.interpolate(output[None].float(), size=size, mode="nearest-exact")
                output = resized[0].to(output.dtype)
            outputs.append({"sem_seg": output[0]})
        return outputs
