"""Fit a run to the machine: number of processes, device, and the settings that depend on them."""

from collections.abc import Iterator

import torch
from detectron2.config import CfgNode

# Detectron2's names of the normalisations that exchange statistics between processes.
_SYNCHRONISED_NORMS = ("SyncBN", "nnSyncBN", "naiveSyncBN")

FLOAT16_TEST_NOTE = "TEST.DTYPE float16 -> float32: float16 needs a GPU, and bfloat16 does not."


def processes_per_machine(
    num_gpus: int, num_machines: int = 1, machine_rank: int = 0, cpu_processes: int = 0
) -> tuple[int, str]:
    """Return how many processes to launch, and a sentence to print ("" if nothing changed).

    Raises:
        ValueError: if more GPUs are asked for than the machine has, a number is out of range, or
            several machines are to train on CPUs without a number of processes.
    """
    if num_gpus < 0:
        raise ValueError(f"--num-gpus {num_gpus}: pass 0 for the CPU, or how many GPUs to use")
    if num_machines < 1:
        raise ValueError(f"--num-machines {num_machines}: pass at least 1")
    if not 0 <= machine_rank < num_machines:
        ranks = f"of --num-machines {num_machines}, ranks are 0 to {num_machines - 1}"
        raise ValueError(f"--machine-rank {machine_rank}: {ranks}")
    if cpu_processes:
        return cpu_processes, ""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_machines > 1 and 0 in (available, num_gpus):
        reason = "--num-gpus is 0" if available else "this one has none"
        needs = f"--num-machines {num_machines} needs GPUs on every machine"
        raise ValueError(f"{needs}, and {reason}: to train on CPUs, pass --cpu-processes 1 or more")
    if available == 0:
        hint = "one process on the CPU instead (--cpu-processes N makes several)"
        return 1, f"No GPU here: {hint}." if num_gpus > 1 else ""
    if num_gpus > available:
        raise ValueError(
            f"--num-gpus {num_gpus}, but this machine has {available}: pass --num-gpus {available}"
        )
    return max(num_gpus, 1), ""


def adapt_to_machine(
    cfg: CfgNode, *, world_size: int, has_gpu: bool | None = None, wants_gpu: bool = True
) -> list[str]:
    """Replace, in place, the settings that cannot work on this machine; return a note for each.

    Without a GPU the device becomes the CPU, and mixed precision in float16, which needs one, is
    switched off. Synchronised batch norm becomes BN in a single process, where some
    PyTorch versions refuse it, and Detectron2's ``naiveSyncBN`` in several CPU processes, where
    PyTorch's does not run.

    Args:
        cfg: an unfrozen config.
        world_size: number of processes over all machines.
        has_gpu: None asks PyTorch.
        wants_gpu: False for ``--num-gpus 0``.

    Raises:
        ValueError: if several processes that were started for GPUs are to train on the CPU.
    """
    notes = []
    has_gpu = torch.cuda.is_available() if has_gpu is None else has_gpu
    if cfg.MODEL.DEVICE.startswith("cuda") and not (has_gpu and wants_gpu):
        reason = "there is no GPU" if wants_gpu else "--num-gpus is 0"
        notes.append(f"MODEL.DEVICE {cfg.MODEL.DEVICE} -> cpu: {reason}.")
        cfg.MODEL.DEVICE = "cpu"
    on_cpu = cfg.MODEL.DEVICE == "cpu"
    if on_cpu and world_size > 1 and has_gpu and wants_gpu:
        raise ValueError(
            f"MODEL.DEVICE is cpu, and {world_size} processes were started for GPUs: pass "
            "--cpu-processes N, or under torchrun and srun --num-gpus 0"
        )
    if float16_needs_gpu(cfg.MODEL.DEVICE, cfg.TEST.DTYPE):
        notes.append(FLOAT16_TEST_NOTE)
        cfg.TEST.DTYPE = "float32"
    if cfg.SOLVER.AMP.ENABLED and float16_needs_gpu(cfg.MODEL.DEVICE, cfg.SOLVER.AMP.DTYPE):
        notes.append(
            "SOLVER.AMP.ENABLED True -> False: float16 needs a GPU, and SOLVER.AMP.DTYPE bfloat16 "
            "does not."
        )
        cfg.SOLVER.AMP.ENABLED = False

    changed: dict[str, list[str]] = {}
    for path, node in nodes_with_norm(cfg):
        norm = node.NORM
        if world_size == 1 and norm in _SYNCHRONISED_NORMS:
            node.NORM = "BN"
        elif world_size > 1 and on_cpu and norm in ("SyncBN", "nnSyncBN"):
            node.NORM = "naiveSyncBN"
        if norm != node.NORM:
            changed.setdefault(f"{norm} -> {node.NORM}", []).append(f"{path}NORM")
    reason = "there is one process" if world_size == 1 else "PyTorch's SyncBN needs GPUs"
    notes += [f"{change} in {', '.join(keys)}: {reason}." for change, keys in changed.items()]
    return notes


def float16_needs_gpu(device: str, dtype: str) -> bool:
    """Return True for "float16" on "cpu", whose kernels are slow or missing."""
    return device == "cpu" and dtype == "float16"


def nodes_with_norm(node: CfgNode, path: str = "") -> Iterator[tuple[str, CfgNode]]:
    """Yield every node that holds a key NORM, with its dotted path (ending in a dot)."""
    if isinstance(node.get("NORM"), str):
        yield path, node
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from nodes_with_norm(value, f"{path}{key}.")
