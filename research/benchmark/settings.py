"""Settings of a benchmark."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Precision:
    """Dtype of a run.

    Attributes:
        dtype: "float32", "bfloat16" or "float16".
        autocast: True keeps the weights in float32, and PyTorch chooses the dtype per operation;
            False casts weights and inputs. Has no effect in float32.
    """

    dtype: str = "float32"
    autocast: bool = False

    @property
    def name(self) -> str:
        """Return the dtype and how it is applied: "bfloat16 autocast", "bfloat16 cast"."""
        if self.dtype == "float32":
            return self.dtype
        return f"{self.dtype} {'autocast' if self.autocast else 'cast'}"

    @property
    def inputs(self) -> torch.dtype:
        """Return the dtype of feature maps, which a backbone yields in low precision either way."""
        return getattr(torch, self.dtype)

    @property
    def weights(self) -> torch.dtype:
        """Return the dtype of weights."""
        return torch.float32 if self.autocast else self.inputs

    def region(self, device: str) -> contextlib.AbstractContextManager:
        """Return the context in which the operations run."""
        if not self.autocast or self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(device).type, self.inputs)


FLOAT32 = Precision()


def low_precisions(dtype: str) -> list[Precision]:
    """Return both ways to compute in bfloat16 or float16."""
    return [Precision(dtype, autocast=True), Precision(dtype)]


@dataclass(frozen=True)
class Settings:
    """Settings of all parts of a benchmark; sizes are (height, width) in pixels.

    Attributes:
        configs: The folder with vt_seg's configs.
        backbone: "R50", or the name of a timm model that has configs in ``configs/timm``.
        device: "cpu" or "cuda".
        threads: CPU threads of PyTorch.
        dtype: Dtype, see :class:`Precision`.
        layouts: Memory formats to measure: False is NCHW, True channels-last.
        compile: Also measure ``torch.compile`` of the necks and models.
        size: Size of the images that are predicted.
        batch: Their number.
        train_size: Size of the images of a training step.
        train_batch: Their number.
        classes: Numbers of classes; a part that needs one number takes the first.
        rounds: Rounds, in each of which every work takes its turn.
        scaling_sizes: Sides of square images.
        scaling_tokens: Numbers of visual tokens per level.
    """

    configs: Path
    backbone: str = "R50"
    device: str = "cpu"
    threads: int = 2
    dtype: str = "float32"
    layouts: tuple[bool, ...] = (False, True)
    compile: bool = False
    size: tuple[int, int] = (800, 1216)
    batch: int = 1
    train_size: tuple[int, int] = (512, 512)
    train_batch: int = 2
    classes: tuple[int, ...] = (54, 171)
    rounds: int = 7
    scaling_sizes: tuple[int, ...] = (256, 512, 1024, 1536, 2048)
    scaling_tokens: tuple[int, ...] = (4, 8, 16, 32, 64)

    def precisions(self) -> list[Precision]:
        """Return the precisions to measure: in low precision with and without autocast."""
        return [FLOAT32] if self.dtype == "float32" else low_precisions(self.dtype)

    @property
    def precision(self) -> Precision:
        """Return the first of :meth:`precisions`, for parts that need one."""
        return self.precisions()[0]

    @property
    def layout(self) -> bool:
        """Return the first of ``layouts``, for parts that need one."""
        return self.layouts[0]

    @property
    def images(self) -> str:
        """Return batch, height and width of the images as text."""
        return f"{self.batch} x {size_text(self.size)}"

    @property
    def slow_rounds(self) -> int:
        """Return half the rounds, for parts whose rounds take long."""
        return max(1, self.rounds // 2)


def named(title: str, channels_last: bool, *more: str) -> str:
    """Return the name of a work, which ends in its memory format."""
    return ", ".join([title, *more, "channels-last" if channels_last else "NCHW"])


def size_text(size: tuple[int, int]) -> str:
    """Return a size as text: ``"800 x 1216"``."""
    return f"{size[0]} x {size[1]}"
