"""The processes of a training that torchrun, srun or mpirun started, joined to one group."""

import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from detectron2.engine.launch import DEFAULT_TIMEOUT
from detectron2.utils import comm
from torch import distributed

_T = TypeVar("_T")

# Variables of launchers: this process's rank, the number of all processes, its rank on its machine.
_VARIABLES = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
_STORE_KEY = "vt_seg/port_of_store"
_RETRY = timedelta(seconds=5)


@dataclass(frozen=True)
class LaunchedProcess:
    """What a launcher says of this process: its name, and the process's place among all."""

    launcher: str
    rank: int
    world_size: int
    local_rank: int


def launched_process(
    environment: Mapping[str, str] = os.environ, num_machines: int = 1
) -> LaunchedProcess | None:
    """Return this process's place among several that a launcher started; None if it is alone.

    Also None if the launcher started one process on each of ``num_machines``, Detectron2's flag:
    each of these starts the processes of its machine.

    Raises:
        ValueError: if variables of a launcher are missing, or contradict each other.
    """
    error = ""
    for launcher, names in _VARIABLES.items():
        values = [environment.get(name, "") for name in names]
        rank, world_size, local_rank = (int(v) if v.isdecimal() else None for v in values)
        if world_size == num_machines > 1 and not local_rank:
            return None
        if rank is None or world_size is None or local_rank is None:
            if (world_size or 1) > 1 or local_rank:
                given = ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True) if v)
                lacking = " and ".join(n for n, v in zip(names, values, strict=True) if not v)
                problem = f"{lacking} not" if lacking else "one of them is no whole number"
                error = error or (
                    f"{given} is set, as {launcher} does, but {problem}: start with torchrun or "
                    "srun, which set all of them, or unset them"
                )
            continue
        if not (local_rank <= rank < world_size):
            raise ValueError(
                f"{launcher} started {world_size} processes, and this one has {names[0]} {rank} "
                f"and {names[2]} {local_rank}: ranks are below {names[1]}, and the rank on a "
                "machine is at most that of all"
            )
        return LaunchedProcess(launcher, rank, world_size, local_rank) if world_size > 1 else None
    if error:
        raise ValueError(error)
    return None


def check_joined(num_machines: int, environment: Mapping[str, str] = os.environ) -> None:
    """Raise ValueError if a launcher started several processes that are not one group.

    Each would train on its own, into the same folder.
    """
    process = launched_process(environment, num_machines)
    if process and comm.get_world_size() < process.world_size:
        raise ValueError(
            f"{process.launcher} started {process.world_size} processes, each of which would train "
            "on its own into one folder. Call vt_seg.engine.launch(main), as tools/train_net.py "
            "does, which joins them"
        )


def join_process_group(process: LaunchedProcess, *, use_gpu: bool) -> None:
    """Join the group of all processes, with the groups of each machine, as Detectron2's launch.

    They meet where :func:`_address` says. On GPUs the group uses NCCL, and this process the GPU of
    its rank on the machine, or the only one that it sees; on CPUs gloo.

    Raises:
        ValueError: if the address is unknown, GPUs are too few, or machines have different numbers
            of processes.
        OSError: if the other processes cannot be reached.
    """
    address = _address(process, os.environ)
    _check_host(address[0])
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = address
    if process.rank == 0:
        meet = f"{process.world_size} processes of {process.launcher} meet at {':'.join(address)}"
        print(f"{meet}, at most {DEFAULT_TIMEOUT} from now", flush=True)
    if use_gpu:
        torch.cuda.set_device(_gpu(process.local_rank, torch.cuda.device_count()))
    is_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        distributed.init_process_group(
            "nccl" if use_gpu else "gloo",
            store=_new_store(process, *address) if is_torchrun else None,
            rank=process.rank,
            world_size=process.world_size,
            timeout=DEFAULT_TIMEOUT,
        )
    except RuntimeError as error:  # DistNetworkError and DistStoreError are
        raise OSError(
            f"process {process.rank} of {process.world_size} could not join the others at "
            f"{':'.join(address)} ({str(error).splitlines()[0]}): check MASTER_ADDR, MASTER_PORT "
            "and that all processes run"
        ) from error
    local_ranks = comm.all_gather(process.local_rank)
    size = max(local_ranks) + 1
    if len(local_ranks) % size or local_ranks != [i % size for i in range(len(local_ranks))]:
        raise ValueError(
            f"processes have the ranks {local_ranks} on their machines: start equally many on each "
            "machine, with consecutive ranks (srun --ntasks-per-node N --distribution block)"
        )
    comm.create_local_process_group(size)
    comm.synchronize()


def _new_store(process: LaunchedProcess, host: str, port: str) -> distributed.Store:
    """Return a store of which processes that died know nothing; its server is in rank 0.

    torchrun keeps one store for all starts of the processes. In it, one that is started again finds
    where those before it were, and would wait for them until the timeout.
    """
    kept = distributed.TCPStore(host, int(port), is_master=False, timeout=DEFAULT_TIMEOUT)
    if process.rank == 0:
        own = distributed.TCPStore(host, 0, is_master=True, timeout=DEFAULT_TIMEOUT)
        kept.set(_STORE_KEY, str(own.port))
        return own
    deadline = time.monotonic() + DEFAULT_TIMEOUT.total_seconds()
    while True:
        own_port = int(kept.get(_STORE_KEY))  # of this start, or of one whose server is gone
        try:
            own = distributed.TCPStore(host, own_port, is_master=False, timeout=_RETRY)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            continue
        own.set_timeout(DEFAULT_TIMEOUT)
        return own


def in_main_process(work: Callable[[], _T]) -> _T:
    """Return what ``work`` returns in the main process, or raise its error, in all processes."""
    result: Any = None
    if comm.is_main_process():
        try:
            result = work()
        except (OSError, ValueError) as error:
            result = error
    result = comm.all_gather(result)[0]
    if isinstance(result, Exception):
        raise result
    return result


@contextlib.contextmanager
def lost_process_as_message() -> Iterator[None]:
    """End with a sentence, not a traceback, where another process of the group has died."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).split("\n")[0].split(". ")[0]
        if comm.get_world_size() == 1 or not re.search(r"gloo|NCCL|by peer", first):
            raise
        sys.exit(
            f"error: process {comm.get_rank()} lost another process of this training ({first}): "
            "see that one's output for the reason; --resume continues from the newest checkpoint"
        )


def leave_process_group() -> None:
    """Leave the group in all processes together.

    A process that exits with threads of its process groups aborts, with another exit code.
    """
    if comm.get_world_size() > 1:
        comm.synchronize()
        # Detectron2 keeps one of the groups in a cache, which would keep its threads.
        comm._get_global_gloo_group.cache_clear()
        distributed.destroy_process_group()


def _address(process: LaunchedProcess, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return ``MASTER_ADDR`` and ``MASTER_PORT``, where the processes of a launch meet.

    srun sets neither: the first node of the step, and a port that follows from the job's number.
    """
    host, port = environment.get("MASTER_ADDR", ""), environment.get("MASTER_PORT", "")
    if process.launcher == "srun":
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
        # The first of "gpu[007-009,12],login": the first number of each bracket.
        host = host or re.sub(r"\[(\d+)[^]]*\]", r"\1", nodes).split(",")[0]
        job = environment.get("SLURM_JOB_ID", "")
        port = port or (str(20000 + int(job) % 20000) if job.isdecimal() else "")
    if port and not (port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"MASTER_PORT is {port}: set a free port of rank 0's host, 1 to 65535")
    lacking = [name for name, v in (("MASTER_ADDR", host), ("MASTER_PORT", port)) if not v]
    if lacking:
        raise ValueError(
            f"{process.launcher} started {process.world_size} processes, and {lacking[0]} is not "
            "set: export MASTER_ADDR, the host of rank 0, and MASTER_PORT, a free port there"
        )
    return host, port


def _check_host(host: str, seconds: float = 10) -> None:
    """Raise OSError if a host has no address, for which PyTorch would wait half an hour.

    The names of pods and nodes may be known some ``seconds`` after these have started.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            socket.getaddrinfo(host, None)
            return
        except OSError as error:
            if time.monotonic() > end:
                raise OSError(
                    f"MASTER_ADDR is {host}, which is no known host ({error.strerror}): set the "
                    "name or the IP address of the host of rank 0"
                ) from error
        time.sleep(1)


def _gpu(local_rank: int, available: int) -> int:
    """Return the index of a process's GPU; one that is alone was bound to it by the launcher."""
    if local_rank < available:
        return local_rank
    if available == 1:
        return 0
    raise ValueError(
        f"process {local_rank + 1} of this machine has no GPU, of which there are {available}: "
        "start one process for each GPU, or pass --num-gpus 0 to train on CPUs"
    )
