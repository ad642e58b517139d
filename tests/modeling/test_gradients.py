"""Gradients of whole models: against numerical differences, and in two processes against one."""

import pytest
import torch
import torch.multiprocessing as mp
from detectron2.modeling import build_backbone, build_model
from detectron2.utils import comm
from torch.nn import functional

from tests.layers.numerical_gradients import largest_gradient_error
from tests.modeling.conftest import wake
from tests.small_configs import small_cfg

TOLERANCE = 1e-8


def cfg_of(backbone: str, revision: str):
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.NAME = backbone
    cfg.MODEL.VT_RESNET.REVISION = cfg.MODEL.VT_FPN.REVISION = revision
    return cfg


@pytest.fixture
def without_kinks(monkeypatch):
    """Softplus for ReLU and the mean for the maximum: differences across a kink say nothing."""
    softplus = functional.softplus
    monkeypatch.setattr(functional, "relu", softplus)
    monkeypatch.setattr(functional, "relu_", softplus)
    monkeypatch.setattr(functional, "max_pool2d", functional.avg_pool2d)


def awake(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model in float64, no branch at zero, without the ReLUs that it holds itself."""
    for module in model.modules():
        if getattr(module, "activation", None) is not None:
            module.activation = functional.softplus
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.Softplus())
    return wake(model).double()


def ours(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that are not in Detectron2's own stages and convolutions."""
    parts = (".stack.", ".laterals.", ".adjust.", "predictor.")
    return {n: p for n, p in model.named_parameters() if any(part in n for part in parts)}


@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_vt_resnet_against_numerical_differences(revision, without_kinks):
    backbone = awake(build_backbone(cfg_of("build_vt_resnet_backbone", revision)))
    x = torch.randn(2, 3, 48, 80, dtype=torch.float64)

    def outputs():
        maps = backbone(x)
        return [maps[name] for name in sorted(maps)]

    with torch.no_grad():
        incoming = [torch.randn_like(output) for output in outputs()]
    leaves = ours(backbone)
    assert len(leaves) > 40
    assert largest_gradient_error(outputs, leaves, incoming) < TOLERANCE


def head_loss(head: torch.nn.Module, features: dict[str, torch.Tensor], labels: torch.Tensor):
    """Return cross-entropy at the head's stride in float64: Detectron2's losses use float32."""
    return functional.cross_entropy(head.layers(features), labels)


def random_batch(number: int, size: tuple[int, int] = (64, 96)) -> tuple[torch.Tensor, ...]:
    labels = torch.randint(5, (number, size[0] // 4, size[1] // 4))
    return torch.randn(number, 3, *size, dtype=torch.float64), labels


@pytest.mark.parametrize("revision", ["v1", "v4"])
def test_vt_fpn_head_against_numerical_differences(revision, without_kinks):
    """The loss of a batch, through head and neck to the maps of the backbone."""
    model = awake(build_model(cfg_of("build_resnet_backbone", revision)))
    images, labels = random_batch(2)
    with torch.no_grad():
        maps = model.backbone(images)
    features = {name: x.requires_grad_() for name, x in maps.items()}

    def loss():
        return [head_loss(model.sem_seg_head, features, labels)]

    leaves = {**features, **ours(model)}
    assert len(leaves) > 60
    one = [torch.ones((), dtype=torch.float64)]
    assert largest_gradient_error(loss, leaves, one) < TOLERANCE


def _gradients(images: slice) -> dict[str, torch.Tensor]:
    """Return the gradients of some of four images under norms that exchange their statistics."""
    torch.manual_seed(0)
    cfg = small_cfg()
    for node in (cfg.MODEL.RESNETS, cfg.MODEL.VT_FPN, cfg.MODEL.SEM_SEG_HEAD):
        node.NORM = "naiveSyncBN"
    model = wake(build_model(cfg)).double()
    inputs, labels = (part[images] for part in random_batch(4))
    head_loss(model.sem_seg_head, model.backbone(inputs), labels).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _half(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    comm.create_local_process_group(2)
    gradients = _gradients(slice(2 * rank, 2 * rank + 2))
    for gradient in gradients.values():  # as DistributedDataParallel averages them
        torch.distributed.all_reduce(gradient)
        gradient /= 2
    if rank == 0:
        torch.save(gradients, f"{folder}/gradients.pth")


def test_two_processes_have_the_gradients_of_one(tmp_path):
    expected = _gradients(slice(4))
    mp.spawn(_half, (str(tmp_path),), nprocs=2)
    gradients = torch.load(tmp_path / "gradients.pth")
    assert gradients.keys() == expected.keys()
    largest = max(gradient.norm() for gradient in expected.values())
    errors = {
        name: ((gradients[name] - g).norm() / torch.maximum(g.norm(), 1e-6 * largest)).item()
        for name, g in expected.items()
    }
    assert max(errors.values()) < 1e-10, max(errors.items(), key=lambda item: item[1])
