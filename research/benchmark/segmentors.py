"""vt_seg's VT-FPN and Detectron2's semantic FPN on one backbone: inference and training steps.

Weights are random. In a ResNet with untrained norms activations grow but stay finite, and the time
of a layer does not depend on them.
"""

from collections.abc import Callable
from functools import partial

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from vt_seg.engine import adapt_to_machine, build_optimizer, load_cfg

from .settings import FLOAT32, Precision, Settings
from .timing import Work

VT_SEG, DETECTRON2 = "vt_seg", "Detectron2"
_NECKS = {VT_SEG: "vtfpn", DETECTRON2: "fpn"}


def model_cfg(settings: Settings, library: str, classes: int | None = None) -> CfgNode:
    """Return the config of one of the two models for this machine.

    Args:
        settings: Settings of the benchmark.
        library: :data:`VT_SEG` or :data:`DETECTRON2`.
        classes: Number of classes; None takes the first of the settings.
    """
    folder = settings.configs if settings.backbone == "R50" else settings.configs / "timm"
    cfg = load_cfg(str(folder / f"{_NECKS[library]}_{settings.backbone}_cocostuff.yaml"))
    cfg.MODEL.TIMM.PRETRAINED = False
    cfg.MODEL.DEVICE = settings.device
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = classes or settings.classes[0]
    if library == DETECTRON2:
        cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    adapt_to_machine(cfg, world_size=1, wants_gpu=settings.device != "cpu")
    return cfg


def build_segmentor(
    cfg: CfgNode, *, channels_last: bool = False, dtype: torch.dtype = torch.float32
) -> nn.Module:
    """Build a model with random weights, which are the same each time."""
    torch.manual_seed(0)
    return in_layout(build_model(cfg).to(dtype), channels_last)


def in_layout(module: nn.Module, channels_last: bool) -> nn.Module:
    """Return a module with its weights in a memory format, as by ``MODEL.CHANNELS_LAST``."""
    return module.to(memory_format=torch.channels_last) if channels_last else module


def random_image(size: tuple[int, int], device: str) -> Tensor:
    """Return a uint8 image ``(3, H, W)`` of noise."""
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
    optimized: bool | None = None,
    compiled: bool = False,
) -> Work:
    """Return the inference from uint8 images to their label maps, a list of ``(H, W)``.

    Args:
        settings: Settings of the benchmark.
        library: :data:`VT_SEG` or :data:`DETECTRON2`.
        classes: Number of classes; None takes the first of the settings.
        size: Size of the images; None takes the settings'.
        precision: Dtype of weights and operations.
        channels_last: Memory format of the weights, which the maps follow.
        optimized: By ``vt_seg.inference.optimize``, which makes the label maps itself; otherwise
            they are the argmax of the logits. None optimizes vt_seg's model alone.
        compiled: By ``torch.compile``.
    """
    cfg = model_cfg(settings, library, classes)
    model = build_segmentor(cfg, channels_last=channels_last, dtype=precision.weights).eval()
    image = random_image(size or settings.size, settings.device)
    batch = [{"image": image} for _ in range(settings.batch)]
    if optimized or (optimized is None and library == VT_SEG):
        from vt_seg.inference import optimize

        predict = optimize(model).predict_labels
    else:
        predict = partial(argmax_of_logits, torch.compile(model) if compiled else model)
    return partial(_infer, predict, batch, precision)


def argmax_of_logits(model: nn.Module, batch: list[dict]) -> list[Tensor]:
    """Return the label maps of a batch as the argmax of the model's logits."""
    return [output["sem_seg"].argmax(dim=0) for output in model(batch)]


def _infer(
    predict: Callable[[list[dict]], list[Tensor]], batch: list[dict], precision: Precision
) -> list[Tensor]:
    with torch.no_grad(), precision.region(batch[0]["image"].device.type):
        return predict(batch)


def backbone_forward(
    settings: Settings, *, precision: Precision = FLOAT32, channels_last: bool = False
) -> Work:
    """Return the inference of the backbone on normalised images."""
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
    """Return a training step on noise, with a learning rate too small to change the weights."""
    cfg = model_cfg(settings, library)
    cfg.SOLVER.BASE_LR = 1e-9
    model = build_segmentor(cfg, channels_last=channels_last, dtype=precision.weights).train()
    optimizer = build_optimizer(cfg, model)
    # Only float16 needs loss scaling.
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
