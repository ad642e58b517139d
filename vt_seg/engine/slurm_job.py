"""A training as a job of submitit, which is submitted to Slurm and requeued with a checkpoint."""

import os
import runpy
import signal
import sys
from collections.abc import Sequence
from typing import Any

from .interruption import TrainingInterrupted

RESUME = "--resume"


class TrainingJob:
    """Runs a training script in each task of a job; submitit pickles it and calls it there.

    Before its time is over, or when others need the machines, a job gets SIGUSR2 (a setting of
    submitit). The training then saves a checkpoint after the iteration, as with SIGTERM, and the
    job is queued again; it continues from there.
    """

    def __init__(self, script: str, arguments: Sequence[str]) -> None:
        """Keep the path of a script as ``tools/train_net.py`` and its arguments."""
        self.script = os.path.abspath(script)
        self.arguments = list(arguments)

    def __call__(self) -> None:
        """Run the script in this process, which joins those of the job's other tasks."""
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        requeue: Any = signal.getsignal(signal.SIGUSR2)
        asked = []

        def stop_training(*_: object) -> None:
            asked.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGUSR2, stop_training)  # submitit's handler waits for the checkpoint
        sys.argv = [self.script, *self.arguments]
        try:
            runpy.run_path(self.script, run_name="__main__")
        except TrainingInterrupted:
            if not asked:  # cancelled by the user
                raise
            requeue(signal.SIGUSR2, None)  # in the first task; does not return there

    def checkpoint(self) -> Any:
        """Return the job that is queued again in place of this one."""
        from submitit.helpers import DelayedSubmission

        resumed = self.arguments if RESUME in self.arguments else [RESUME, *self.arguments]
        return DelayedSubmission(TrainingJob(self.script, resumed))
