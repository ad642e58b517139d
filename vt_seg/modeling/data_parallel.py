"""Models inside the wrappers of parallel training."""

import torch
from detectron2.engine import create_ddp_model
from detectron2.layers import NaiveSyncBatchNorm
from detectron2.utils import comm
from torch import Tensor, distributed, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def data_parallel(model: nn.Module) -> nn.Module:
    """Return the model, in ``DistributedDataParallel`` if there are several processes.

    Gradients are averaged over the processes; buffers are each process's own, as in Detectron2,
    whose wrapper names GPUs for models on the CPU as well, which PyTorch refuses. Its
    ``naiveSyncBN`` gets bfloat16 as float32, as it treats float16: it subtracts squares, which in
    bfloat16 gives negative variances.
    """
    for module in model.modules():
        if isinstance(module, NaiveSyncBatchNorm) and comm.get_world_size() > 1:
            module.register_forward_pre_hook(_in_float32)
    on_gpu = next(model.parameters()).is_cuda
    devices = [torch.cuda.current_device()] if on_gpu else None
    return create_ddp_model(model, broadcast_buffers=False, device_ids=devices)


def _in_float32(_norm: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].float(),)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself, without the wrapper of parallel training."""
    return model.module if isinstance(model, DistributedDataParallel | DataParallel) else model


def broadcast_buffers(model: nn.Module) -> None:
    """Give all processes the main process's buffers, which are those of its checkpoints.

    Each process has statistics of its own in batch norms that are not synchronised, and would
    evaluate its images with these.
    """
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
