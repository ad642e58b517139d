"""Processes that a launcher restarts continue their run, as with ``--resume``; no other run."""

import os
import socket
from collections.abc import Mapping

from detectron2.utils import comm

from vt_seg.files import write_atomically

LAUNCH_FILE = ".launch"


def note_launch(folder: str, environment: Mapping[str, str] = os.environ) -> None:
    """Write which launches begin a new run in ``OUTPUT_DIR``; in all processes together."""
    launches = sorted(_launches(environment))
    path = os.path.join(folder, LAUNCH_FILE)
    if comm.is_main_process() and (launches or os.path.exists(path)):
        os.makedirs(folder, exist_ok=True)
        write_atomically(path, "\n".join(launches).encode())


def is_restarted(folder: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return True, in all processes, if the run in ``OUTPUT_DIR`` was begun by this very launch.

    That is a torchrun, which starts its processes again when one has failed or machines come or go,
    or a Slurm job that was requeued. A folder that had checkpoints before is none of its own, so
    that a launch which was refused there is refused again when it is restarted.
    """
    launches, begun = _launches(environment), set()
    if comm.is_main_process() and os.path.isfile(os.path.join(folder, LAUNCH_FILE)):
        with open(os.path.join(folder, LAUNCH_FILE), errors="replace") as file:
            begun = set(file.read().splitlines())
    begun = comm.all_gather(begun)[0]
    return any(begun & {name for name, restarts in launches.items() if restarts})


def _launches(environment: Mapping[str, str]) -> dict[str, bool]:
    """Return the names of the launches of all processes, and whether each may be a restart."""
    mine = {}
    # torchrun makes a log folder of a random name for each launch on each machine, which it keeps
    # when it starts its processes again.
    log_folder = environment.get("TORCHELASTIC_ERROR_FILE", "").partition("/attempt_")[0]
    if log_folder:
        mine[f"torchrun {socket.gethostname()} {log_folder}"] = True
    if "SLURM_JOB_ID" in environment:  # several runs may follow in one job
        restarts = environment.get("SLURM_RESTART_COUNT", "0")
        mine[f"slurm {environment['SLURM_JOB_ID']}"] = restarts != "0"
    return {name: restarts for each in comm.all_gather(mine) for name, restarts in each.items()}
