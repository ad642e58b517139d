"""Other segmentation models, from the libraries that publish them.

All are built from their configuration with random weights; nothing is downloaded. Each predicts the
label maps of normalised images as its library does.
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
"""Predicts label maps ``(N, H, W)`` from a model and images ``(N, 3, H, W)``."""


@dataclass(frozen=True)
class OtherModel:
    """A model of another library.

    Attributes:
        package: Package that has to be importable.
        install: Its name for ``pip install``.
        build: Function from a number of classes to the model and how it predicts.
    """

    package: str
    install: str
    build: Callable[[int], tuple[nn.Module, Predict]]

    @property
    def is_installed(self) -> bool:
        """Return True if the library is installed."""
        return importlib.util.find_spec(self.package) is not None


def other_label_maps(settings: Settings, name: str) -> Work:
    """Return the inference of a model from normalised images to label maps ``(N, H, W)``."""
    torch.manual_seed(0)
    precision = settings.precision
    model, predict = OTHER_MODELS[name].build(settings.classes[0])
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
    """Build a model that classifies masks.

    Args:
        family: Beginning of the library's class names.
        model: End of the model's class name.
        classes: Number of classes.
    """
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

OTHER_MODELS = {
    "SegFormer-B0": OtherModel(
        *_TRANSFORMERS, partial(_segformer, [32, 64, 160, 256], [2, 2, 2, 2], 256)
    ),
    "SegFormer-B1": OtherModel(
        *_TRANSFORMERS, partial(_segformer, [64, 128, 320, 512], [2, 2, 2, 2], 256)
    ),
    "SegFormer-B2": OtherModel(
        *_TRANSFORMERS, partial(_segformer, [64, 128, 320, 512], [3, 4, 6, 3], 768)
    ),
    "MaskFormer R-50": OtherModel(
        *_TRANSFORMERS, partial(_masks, "MaskFormer", "ForInstanceSegmentation")
    ),
    "Mask2Former R-50": OtherModel(
        *_TRANSFORMERS, partial(_masks, "Mask2Former", "ForUniversalSegmentation")
    ),
    "UPerNet R-50": OtherModel(*_TRANSFORMERS, _upernet),
    "DeepLabV3 R-50 (torchvision)": OtherModel(
        *_TORCHVISION, partial(_torchvision, "deeplabv3_resnet50")
    ),
    "LRASPP MobileNetV3 (torchvision)": OtherModel(
        *_TORCHVISION, partial(_torchvision, "lraspp_mobilenet_v3_large")
    ),
    "FPN R-50 (smp)": OtherModel(
        "segmentation_models_pytorch", "segmentation-models-pytorch", _smp_fpn
    ),
}
