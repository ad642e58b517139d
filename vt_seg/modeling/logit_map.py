"""Scores of a map at a stride, read at any size in strips of rows: labels in little memory."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .first_maximum import STRIP_ELEMENTS, RunningMaximum, in_threads, winner_dtype

# The scores that a strip of `strips` holds. A GPU needs many to be busy.
_STRIP_BYTES = {"cpu": 8 * 2**20}
_STRIP_BYTES_ELSEWHERE = 128 * 2**20


class LogitMap:
    """Logits of one image at a stride, as scores of the pixels of another size.

    Detectron2 upsamples by the stride, crops to the image and resizes to the output. Here the two
    interpolations are one, bilinear, ``align_corners=False``: output pixel i lies at
    ``(i + 0.5) * image / (output * stride) - 0.5`` cells. Where image and output have one size
    Detectron2's second interpolation does nothing, and the scores are its scores bit for bit, what
    it reads of the padding beside the image included. At other sizes no cell is read that lies
    wholly in the padding.
    """

    def __init__(
        self,
        logits: Tensor,
        stride: int,
        image_size: tuple[int, int],
        output_size: tuple[int, int] | None = None,
        warp: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            logits: ``(C, h, w)``; the image lies in the top left corner.
            stride: pixels of the image per cell.
            image_size: ``(height, width)`` of the image; cells beyond it are padding. An image that
                the map does not cover (of a backbone that rounds down) is stretched over it.
            output_size: ``(height, width)`` of the output; None for that of the image.
            warp: ``(2, 3)``, from a point (x, y, 1) of the output to one of the image, in pixels,
                pixel i reaching from i to i + 1: each output pixel is read where it puts its
                centre. What the image does not hold gets the scores of its edge.
        """
        covered = tuple(
            min(side, cells * stride)
            for side, cells in zip(image_size, logits.shape[1:], strict=True)
        )
        self.size = tuple(output_size or image_size)
        if warp is not None or covered != self.size:
            logits = logits[:, : -(-covered[0] // stride), : -(-covered[1] // stride)]
        self.logits = logits.detach()
        self.stride = stride
        self.warp = warp
        # Cells per output pixel.
        self.scale = tuple(a / (b * stride) for a, b in zip(covered, self.size, strict=True))

    def rows(self, top: int, bottom: int) -> Tensor:
        """Scores ``(C, bottom - top, W)`` of the output rows ``top`` to ``bottom - 1``."""
        return self._rows(self.logits, top, bottom)

    def strips(self) -> list[tuple[int, int]]:
        """``(top, bottom)`` of strips of rows, of some megabytes of scores, that cover the output."""
        height, width = self.size
        limit = _STRIP_BYTES.get(self.logits.device.type, _STRIP_BYTES_ELSEWHERE)
        rows = max(4, limit // max(1, 4 * len(self.logits) * width))
        return [(top, min(top + rows, height)) for top in range(0, height, rows)]

    def labels(self) -> Tensor:
        """``(H, W)`` of an integer type: ``argmax`` of the scores, the first among equals."""
        height, width = self.size
        if self.logits.device.type != "cpu" or not self.logits.is_floating_point():
            strips = [self.rows(*strip).argmax(dim=0) for strip in self.strips()]
            return torch.cat(strips) if strips else self.logits.new_zeros(self.size).long()
        winners = np.zeros(self.size, winner_dtype(len(self.logits)))
        rows = max(1, STRIP_ELEMENTS // max(1, width))

        def one_strip(top: int) -> None:
            self._write_labels(winners[top : top + rows], top)

        in_threads(one_strip, range(0, height, rows))
        return torch.from_numpy(winners)

    def _write_labels(self, winners: np.ndarray, top: int) -> None:
        """Labels of the rows from ``top`` to ``winners``, which holds zeros; on the CPU."""
        bottom = top + len(winners)
        running = RunningMaximum(winners)
        classes = range(len(self.logits))
        step = self._classes_at_once(top, bottom)
        for start in range(0, len(classes), step):
            part = classes[start : start + step]
            running.add(part, self._rows(self.logits[part.start : part.stop], top, bottom))
        if running.has_nan():
            winners[:] = self.rows(top, bottom).argmax(dim=0).numpy()

    def _classes_at_once(self, top: int, bottom: int) -> int:
        if self.warp is not None or not self._divides():
            return 1
        rows = (bottom - top) * self.scale[0] + 2
        return max(1, int(STRIP_ELEMENTS // (rows * self.size[1])))

    def _divides(self) -> bool:
        """Whether rows of the output repeat in each cell."""
        factor = 1 / self.scale[0]
        return factor.is_integer() and (int(factor) & (int(factor) - 1)) == 0

    def _rows(self, logits: Tensor, top: int, bottom: int) -> Tensor:
        """`rows` for some of the classes."""
        if self.warp is not None:
            return self._warped_rows(logits, top, bottom)
        if self.scale == (1.0, 1.0):
            return logits[:, top:bottom, : self.size[1]]
        first, second, upper, lower = _positions(top, bottom, self.scale[0], logits.shape[1])
        start, stop = first[0], second[-1] + 1
        # Halves are computed on in float32 and rounded once, as F.interpolate does.
        dtype = logits.dtype
        cells = logits[:, start:stop].transpose(0, 1).contiguous()  # (rows, C, w)
        cells = cells if dtype == torch.float64 else cells.float()
        wide = torch.ops.aten.upsample_linear1d(cells, [self.size[1]], False, 1 / self.scale[1])
        if logits.device.type == "cpu" and self._divides():
            # The same weights in each cell: ATen's kernel for channels last takes a row for a
            # pixel of many channels, several times faster than the general one.
            factor = round(1 / self.scale[0])
            pixels = wide.flatten(1).T[None, :, :, None]  # (1, C * W, rows, 1)
            tall = torch.ops.aten.upsample_bilinear2d(
                pixels, [bottom - start * factor, 1], False, float(factor), 1.0
            )
            out = tall[0, :, :, 0].T[top - start * factor :].unflatten(1, wide.shape[1:])
        else:
            device = logits.device
            first, second = (torch.as_tensor(i - start, device=device) for i in (first, second))
            upper, lower = (
                torch.as_tensor(i, device=device)[:, None, None] for i in (upper, lower)
            )
            out = wide[second].mul_(lower)
            out.add_(wide[first].mul_(upper))
        return out.to(dtype).transpose(0, 1)

    def _warped_rows(self, logits: Tensor, top: int, bottom: int) -> Tensor:
        device = logits.device
        matrix = torch.as_tensor(self.warp, dtype=torch.float32, device=device)
        xs = torch.arange(self.size[1], device=device) + 0.5
        ys = torch.arange(top, bottom, device=device) + 0.5
        # (rows, W, 2): where in the image each pixel's centre lies.
        points = xs[None, :, None] * matrix[:, 0] + ys[:, None, None] * matrix[:, 1] + matrix[:, 2]
        image = torch.tensor(logits.shape[:0:-1], device=device) * self.stride  # (W', H')
        grid = (2 * points / image - 1).to(logits.dtype)
        return F.grid_sample(
            logits[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False
        )[0]


def _positions(top: int, bottom: int, scale: float, cells: int) -> tuple[np.ndarray, ...]:
    """Where output rows ``top`` to ``bottom - 1`` are read, as ATen's kernels compute it.

    Returns:
        the cells above and those below, ``(bottom - top,)``, and the weights of both.
    """
    # A product and a sum in single precision with one rounding: exact in double precision.
    at = (np.arange(top, bottom) + 0.5) * float(np.float32(scale)) - 0.5
    at = np.maximum(at, 0).astype(np.float32)
    first = np.minimum(at.astype(np.int64), cells - 1)
    second = np.minimum(first + 1, cells - 1)
    lower = np.clip(at - first.astype(np.float32), 0, 1).astype(np.float32)
    return first, second, np.float32(1) - lower, lower
