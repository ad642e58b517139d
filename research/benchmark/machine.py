"""What a benchmark ran on, and how often, in words."""

import os
import platform
from importlib import metadata

import torch

from .settings import Settings


def cpu_name() -> str:
    """As the operating system names it."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe_machine(settings: Settings) -> str:
    """Processor, cores, threads, versions: one line."""
    cores = f"{cpu_name()}, {os.cpu_count()} cores, {settings.threads} threads"
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    for package in ("transformers", "segmentation-models-pytorch", "torchvision"):
        try:
            versions += f", {package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    if settings.device.startswith("cuda"):
        cores = f"{torch.cuda.get_device_name()}; {cores}"
        versions += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{cores}; {versions}"


def describe_rounds(settings: Settings) -> str:
    """Of how many rounds the medians are."""
    return f"{settings.rounds} rounds of necks and heads, {settings.slow_rounds} of the rest"
