"""Use the VT-FPN neck in a plain PyTorch model and train it for one step.

The backbone is left out: random maps stand for its outputs. Run it with

    python examples/neck_in_pytorch.py
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vt_seg.layers import VTFPN


class Segmentor(nn.Module):
    """Predict a label map from a backbone's maps: neck, sum of its levels, 1x1 convolution."""

    def __init__(self, in_channels: list[int], num_classes: int) -> None:
        super().__init__()
        self.neck = VTFPN(in_channels, out_channels=256, norm=nn.BatchNorm2d)
        self.predictor = nn.Conv2d(256, num_classes, 1)

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Return logits ``(N, num_classes, *size)``."""
        finest, *others = self.neck(features)
        for x in others:
            finest = finest + F.interpolate(x, finest.shape[-2:], mode="bilinear")
        return F.interpolate(self.predictor(finest), size, mode="bilinear")


def main() -> None:
    """Train for one step on random maps and print the loss before and after it."""
    torch.manual_seed(0)
    # Maps of a ResNet-18 for two images of 90 x 120, at strides 4, 8, 16 and 32. Any sizes will do.
    channels, sizes = [64, 128, 256, 512], [(23, 30), (12, 15), (6, 8), (3, 4)]
    features = [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
    labels = torch.randint(0, 5, (2, 90, 120))

    model = Segmentor(channels, num_classes=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    print("neck:", [tuple(x.shape) for x in model.neck(features)])
    for when in ("before", "after"):
        loss = F.cross_entropy(model(features, size=(90, 120)), labels)
        print(f"loss {when} the step: {loss.item():.3f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
