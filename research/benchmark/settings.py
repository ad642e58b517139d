"""What a benchmark is asked to measure, and with which numbers."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Precision:
    """Number format of a run.

    Attributes:
        dtype: "float32", "bfloat16" or "float16".
        autocast: weights stay float32 and PyTorch chooses per operation; False casts weights and
            inputs. Means nothing in float32.
    """

    dtype: str = "float32"
    autocast: bool = False

    @property
    def name(self) -> str:
        if self.dtype == "float32":
            return self.dtype
        return f"{self.dtype} {'autocast' if self.autocast else 'cast'}"

    @property
    def inputs(self) -> torch.dtype:
        """Of feature maps, which a backbone leaves in the low precision either way."""
        return getattr(torch, self.dtype)

    @property
    def weights(self) -> torch.dtype:
        return torch.float32 if self.autocast else self.inputs

    def region(self, device: str) -> contextlib.AbstractContextManager:
        """Within it the operations run."""
        if not self.autocast or self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(device).type, self.inputs)


FLOAT32 = Precision()


def low_precisions(dtype: str) -> list[Precision]:
    """Both ways to compute in bfloat16 or float16."""
    return [Precision(dtype, autocast=True), Precision(dtype)]


@dataclass(frozen=True)
class Settings:
    """Of all parts of a benchmark; sizes are (height, width) in pixels.

    Attributes:
        configs: the folder with vt_seg's configs.
        device: "cpu" or "cuda".
        threads: of PyTorch on the CPU.
        dtype: see :class:`Precision`.
        layouts: memory formats to measure: False is NCHW, True channels-last.
        compile: also measure ``torch.compile`` of the necks and models.
        size, batch: of the images that are predicted.
        train_size, train_batch: of those of a training step.
        classes: numbers of them; where one is enough, the first counts.
        rounds: in each of which every contender takes its turn.
        scaling_sizes: sides of square images.
        scaling_tokens: numbers of visual tokens per level.
    """

    configs: Path
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
        """In low precision both ways there are."""
        return [FLOAT32] if self.dtype == "float32" else low_precisions(self.dtype)

    @property
    def precision(self) -> Precision:
        """The first of :meth:`precisions`, where one is enough."""
        return self.precisions()[0]

    @property
    def layout(self) -> bool:
        """The first of ``layouts``, where one is enough."""
        return self.layouts[0]

    @property
    def images(self) -> str:
        """Batch, height and width of the images, in words."""
        return f"{self.batch} x {in_words(self.size)}"

    @property
    def slow_rounds(self) -> int:
        """For parts whose rounds take long: half as many."""
        return max(1, self.rounds // 2)


def named(title: str, channels_last: bool, *more: str) -> str:
    """A contender's name, which ends in its memory format."""
    return ", ".join([title, *more, "channels-last" if channels_last else "NCHW"])


def in_words(size: tuple[int, int]) -> str:
    """``"800 x 1216"``."""
    return f"{size[0]} x {size[1]}"
