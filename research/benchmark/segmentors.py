"""vt_seg's VT-FPN and Detectron2's semantic FPN, both with a ResNet-50, and what is timed of them.

Weights are random. Those of a ResNet whose norms are untrained let values grow, but all stay
finite, and how long a layer takes does not depend on them.
"""

from functools import partial

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from vt_seg.engine import adapt_to_machine, build_optimizer, load_cfg

from .settings import FLOAT32, Precision, Settings
from .timing import Work

VT_SEG, DETECTRON2 = "vt_seg", "Detectron2"
_CONFIGS = {VT_SEG: "vtfpn_R50_cocostuff.yaml", DETECTRON2: "fpn_R50_cocostuff.yaml"}


def model_cfg(
    settings: Settings, library: str, classes: int | None = None, *, labels: bool = False
) -> CfgNode:
    """The config of one of the two, for this machine.

    Args:
        settings: of the benchmark.
        library: :data:`VT_SEG` or :data:`DETECTRON2`.
        classes: None takes the first of the settings.
        labels: the model is to give label maps instead of logits, if it can.
    """
    cfg = load_cfg(str(settings.configs / _CONFIGS[library]))
    cfg.MODEL.DEVICE = settings.device
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = classes or settings.classes[0]
    if library == DETECTRON2:
        cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    elif labels:
        cfg.MODEL.SEM_SEG_HEAD.OUTPUT = "labels"
    adapt_to_machine(cfg, world_size=1, wants_gpu=settings.device != "cpu")
    return cfg


def build_segmentor(
    cfg: CfgNode, *, channels_last: bool = False, dtype: torch.dtype = torch.float32
) -> nn.Module:
    """With random weights that are the same each time."""
    torch.manual_seed(0)
    return in_layout(build_model(cfg).to(dtype), channels_last)


def in_layout(module: nn.Module, channels_last: bool) -> nn.Module:
    """The module with its weights in that memory format, as ``MODEL.CHANNELS_LAST`` has them."""
    return module.to(memory_format=torch.channels_last) if channels_last else module


def random_image(size: tuple[int, int], device: str) -> Tensor:
    """A uint8 image ``(3, H, W)`` of noise."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator).to(device)


def label_maps(
    settings: Settings,
    library: str,
    *,
    classes: int | None = None,
    size: tuple[int, int] | None = None,
    precision: Precision = FLOAT32,
    channels_last: bool = False,
    labels: bool = True,
    compiled: bool = False,
) -> Work:
    """Predict: uint8 images to label maps of their size, as a list of ``(H, W)``.

    Args:
        settings, library, classes, labels: see :func:`model_cfg`. Of logits, the work takes the
            maximum itself.
        size: of the images; None takes the settings'.
        channels_last: of the weights, which the maps follow.
        compiled: by ``torch.compile``.
    """
    cfg = model_cfg(settings, library, classes, labels=labels)
    model = build_segmentor(cfg, channels_last=channels_last, dtype=precision.weights).eval()
    if compiled:
        model = torch.compile(model)
    image = random_image(size or settings.size, settings.device)
    batch = [{"image": image} for _ in range(settings.batch)]
    return partial(_predict, model, batch, precision)


def _predict(model: nn.Module, batch: list[dict], precision: Precision) -> list[Tensor]:
    with torch.no_grad(), precision.region(batch[0]["image"].device.type):
        return [_labels(output["sem_seg"]) for output in model(batch)]


def _labels(output: Tensor) -> Tensor:
    return output if output.ndim == 2 else output.argmax(dim=0)


def backbone_forward(
    settings: Settings, *, precision: Precision = FLOAT32, channels_last: bool = False
) -> Work:
    """Inference of the ResNet-50 on normalised images."""
    cfg = model_cfg(settings, VT_SEG)
    model = build_segmentor(cfg, channels_last=channels_last, dtype=precision.weights).eval()
    images = torch.randn(settings.batch, 3, *settings.size)
    images = images.to(settings.device, precision.weights)

    def work() -> dict[str, Tensor]:
        with torch.no_grad(), precision.region(settings.device):
            return model.backbone(images)

    return work


def training_step(
    settings: Settings,
    library: str,
    *,
    precision: Precision = FLOAT32,
    channels_last: bool = False,
) -> Work:
    """Forward, backward and SGD, on noise; the learning rate is too small to change anything."""
    cfg = model_cfg(settings, library)
    cfg.SOLVER.BASE_LR = 1e-9
    model = build_segmentor(cfg, channels_last=channels_last, dtype=precision.weights).train()
    optimizer = build_optimizer(cfg, model)
    # Loss scaling is for float16 alone.
    scaler = torch.amp.GradScaler(settings.device, enabled=precision.dtype == "float16")
    image = random_image(settings.train_size, settings.device)
    target = image[0].long() % cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    batch = [{"image": image, "sem_seg": target} for _ in range(settings.train_batch)]

    def step() -> None:
        with precision.region(settings.device):
            loss = sum(model(batch).values())
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step
