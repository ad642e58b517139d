"""The command, the machine and the versions behind a figure."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def running_command() -> str:
    """Return the command line of this process, the script relative to the checkout."""
    script = Path(sys.argv[0]).resolve()
    name = script.relative_to(ROOT).as_posix() if script.is_relative_to(ROOT) else script.name
    return shlex.join(["python", name, *sys.argv[1:]])


def describe_machine(
    threads: int | None = None, *, device: str = "cpu", packages: Sequence[str] = ()
) -> str:
    """Return processor, cores, threads and versions in one line.

    Args:
        threads: Number of CPU threads; None takes PyTorch's.
        device: "cpu" or "cuda", which adds the GPU and its libraries.
        packages: Further packages whose versions are named where they are installed.
    """
    threads = threads or torch.get_num_threads()
    machine = f"{cpu_name()}, {os.cpu_count()} cores, {threads} thread{'s' * (threads > 1)}"
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    for package in packages:
        try:
            versions += f", {package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    if device.startswith("cuda"):
        machine = f"{torch.cuda.get_device_name()}; {machine}"
        versions += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{machine}; {versions}"


def cpu_name() -> str:
    """Return the processor's name by the operating system."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
