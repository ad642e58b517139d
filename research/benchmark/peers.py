"""Other segmentation models, from the libraries where a user would take them.

All are built from their configuration with random weights; nothing is downloaded. Each goes from a
normalised image to its label map the way its library does it.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .settings import Precision, Settings
from .timing import Work

Predict = Callable[[nn.Module, Tensor], Tensor]
"""From a model and images ``(N, 3, H, W)`` to labels ``(N, H, W)``."""


@dataclass(frozen=True)
class Peer:
    """A model of another library.

    Attributes:
        package: what has to be importable.
        install: what ``pip install`` calls it.
        build: the model with a number of classes, and how it predicts.
    """

    package: str
    install: str
    build: Callable[[int], tuple[nn.Module, Predict]]

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


def peer_label_maps(settings: Settings, name: str) -> Work:
    """Predict with :data:`PEERS` ``[name]``: normalised images to labels ``(N, H, W)``."""
    torch.manual_seed(0)
    precision = settings.precision
    model, predict = PEERS[name].build(settings.classes[0])
    model = model.to(settings.device, precision.weights).eval()
    images = torch.randn(settings.batch, 3, *settings.size).to(settings.device, precision.weights)
    return partial(_run, predict, model, images, precision)


def _run(predict: Predict, model: nn.Module, images: Tensor, precision: Precision) -> Tensor:
    with torch.no_grad(), precision.region(images.device.type):
        return predict(model, images)


def _segformer(widths: list[int], depths: list[int], decoder: int, classes: int):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        hidden_sizes=widths, depths=depths, decoder_hidden_size=decoder, num_labels=classes
    )
    return SegformerForSemanticSegmentation(config), _resized_argmax


def _upernet(classes: int):
    from transformers import UperNetConfig, UperNetForSemanticSegmentation

    # The auxiliary head is for training.
    config = UperNetConfig(
        backbone_config=_resnet50(), num_labels=classes, use_auxiliary_head=False
    )
    return UperNetForSemanticSegmentation(config), _resized_argmax


def _masks(family: str, model: str, classes: int):
    """A model that classifies masks: ``family`` as the library's class names begin, ``model`` as
    that of the model ends."""
    import transformers

    def of_family(ending: str) -> type:
        return getattr(transformers, family + ending)

    config = of_family("Config")(backbone_config=_resnet50(), num_labels=classes)
    return of_family(model)(config), partial(_postprocessed, of_family("ImageProcessor")())


def _resnet50():
    from transformers import ResNetConfig

    return ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])


def _resized_argmax(model: nn.Module, images: Tensor) -> Tensor:
    logits = model(pixel_values=images).logits
    size = images.shape[-2:]
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return logits.argmax(dim=1)


def _postprocessed(processor: object, model: nn.Module, images: Tensor) -> Tensor:
    sizes = [tuple(images.shape[-2:])] * len(images)
    outputs = model(pixel_values=images)
    return torch.stack(processor.post_process_semantic_segmentation(outputs, sizes))


def _torchvision(name: str, classes: int):
    from torchvision.models import segmentation

    build = getattr(segmentation, name)
    model = build(weights=None, weights_backbone=None, num_classes=classes)
    return model, lambda model, images: model(images)["out"].argmax(dim=1)


def _smp_fpn(classes: int):
    import segmentation_models_pytorch as smp

    model = smp.FPN("resnet50", encoder_weights=None, classes=classes)
    return model, lambda model, images: model(images).argmax(dim=1)


_TRANSFORMERS = ("transformers", "transformers")
_TORCHVISION = ("torchvision", "torchvision")

PEERS = {
    "SegFormer-B0": Peer(
        *_TRANSFORMERS, partial(_segformer, [32, 64, 160, 256], [2, 2, 2, 2], 256)
    ),
    "SegFormer-B1": Peer(
        *_TRANSFORMERS, partial(_segformer, [64, 128, 320, 512], [2, 2, 2, 2], 256)
    ),
    "SegFormer-B2": Peer(
        *_TRANSFORMERS, partial(_segformer, [64, 128, 320, 512], [3, 4, 6, 3], 768)
    ),
    "MaskFormer R-50": Peer(
        *_TRANSFORMERS, partial(_masks, "MaskFormer", "ForInstanceSegmentation")
    ),
    "Mask2Former R-50": Peer(
        *_TRANSFORMERS, partial(_masks, "Mask2Former", "ForUniversalSegmentation")
    ),
    "UPerNet R-50": Peer(*_TRANSFORMERS, _upernet),
    "DeepLabV3 R-50 (torchvision)": Peer(
        *_TORCHVISION, partial(_torchvision, "deeplabv3_resnet50")
    ),
    "LRASPP MobileNetV3 (torchvision)": Peer(
        *_TORCHVISION, partial(_torchvision, "lraspp_mobilenet_v3_large")
    ),
    "FPN R-50 (smp)": Peer("segmentation_models_pytorch", "segmentation-models-pytorch", _smp_fpn),
}
