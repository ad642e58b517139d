"""Scores of a map at a stride, read at any size in strips of rows: labels in little memory."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .first_maximum import first_maximum_of_strip, labels_by_strips, rows_of_a_strip


class LogitMap:
    """Logits of one image at a stride, as scores of the pixels of another size.

    Detectron2 upsamples by the stride, crops to the image and resizes to the output. Here the two
    interpolations are one, bilinear, ``align_corners=False``: output pixel i lies at
    ``(i + 0.5) * image / (output * stride) - 0.5`` cells. Where image and output have one size
    Detectron2's second interpolation does nothing, and the scores are its scores, what it reads of
    the padding beside the image included: bit for bit, if the stride is a power of two and it
    enlarges contiguous maps (of channels-last ones ATen rounds otherwise; `VTFPNHead` makes them
    contiguous). At other sizes no cell is read that lies wholly in the padding.
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
        # Classes in planes, also where the model works channels-last.
        self.logits = logits.detach().contiguous()
        self.stride = stride
        self.warp = warp
        # Cells per output pixel.
        self.scale = tuple(
            a / (max(b, 1) * stride) for a, b in zip(covered, self.size, strict=True)
        )

    def rows(self, top: int, bottom: int) -> Tensor:
        """Scores ``(C, bottom - top, W)`` of the output rows ``top`` to ``bottom - 1``.

        Raises:
            ValueError: the output has no such rows, or they are none.
        """
        if not 0 <= top < bottom <= self.size[0]:
            raise ValueError(f"rows {top} to {bottom} of an output of {self.size[0]} rows")
        if self.warp is not None:
            return self._warped_rows(top, bottom)
        if self._factor():
            return self._enlarged_rows(top, bottom)
        return self._resized_rows(top, bottom)

    def strips(self) -> list[tuple[int, int]]:
        """``(top, bottom)`` of strips that cover the output, of some megabytes of scores."""
        height, width = self.size
        rows = rows_of_a_strip(self.logits, width)
        return [(top, min(top + rows, height)) for top in range(0, height, rows)]

    @torch.compiler.disable  # a compiler would unroll the strips: minutes for nothing
    def labels(self) -> Tensor:
        """``(H, W)`` of an integer type: ``argmax`` of the scores, the first among equals."""
        if 0 in self.size:
            return torch.zeros(self.size, dtype=torch.uint8, device=self.logits.device)
        if self.warp is None and self._factor() > 1 and self._in_general_kernel():
            return self._enlarged_labels(self._factor())
        return labels_by_strips(self.size, self.strips(), self.rows)

    def _factor(self) -> int:
        """Output pixels per cell and side, where that is a power of two, whose weights are exact
        in floating point; else 0."""
        factor = 1 / self.scale[0]
        if self.scale[0] != self.scale[1] or not factor.is_integer():
            return 0
        return int(factor) if int(factor) & (int(factor) - 1) == 0 else 0

    def _small(self) -> bool:
        """Whether ATen enlarges the map by its CPU kernel for small ones."""
        return sum(self.logits.shape[1:]) * self._factor() <= 128

    def _in_general_kernel(self) -> bool:
        """Whether ATen enlarges the map by the kernel that `_enlarged_labels` follows."""
        on_cpu = self.logits.device.type == "cpu"
        return on_cpu and len(self.logits) > 3 and not self._small()

    def _enlarged_rows(self, top: int, bottom: int) -> Tensor:
        """`rows` by ``F.interpolate``, of the cells that matter."""
        factor = self._factor()
        first = max(0, (2 * top + 1 - factor) // (2 * factor))
        last = (2 * bottom - 1 - factor) // (2 * factor) + 1
        if self._small():  # the last bit of a part could differ
            first, last = 0, self.logits.shape[1]
        cells = self.logits[None, :, first : last + 1]
        if factor > 1:
            cells = F.interpolate(cells, scale_factor=factor, mode="bilinear", align_corners=False)
        above = first * factor
        return cells[0, :, top - above : bottom - above, : self.size[1]]

    def _enlarged_labels(self, factor: int) -> Tensor:
        """`labels`, where the weights repeat in each cell: pixel i of all cells at a time.

        The arithmetic is that of ATen's general kernel to the last bit: along a row first, and of
        the two products the second is rounded.
        """
        num_classes, height, width = self.logits.shape
        dtype = self.logits.dtype
        exact = F.pad(_exact(self.logits)[None], (1, 1, 1, 1), mode="replicate")[0]
        at_a_time = rows_of_a_strip(self.logits, width)
        out = None  # see `labels_by_strips`
        for top in range(0, height, at_a_time):
            cells = exact[:, top : top + at_a_time + 2]
            rows = cells.shape[1] - 2
            for x in range(factor):
                wide = _between(cells, x, factor, dim=2)
                for y in range(factor):
                    scores = _between(wide, y, factor, dim=1, at_edge=top == 0)
                    labels = first_maximum_of_strip(scores.to(dtype))
                    if out is None:
                        out = labels.new_empty(height, factor, width, factor)
                    out[top : top + rows, y, :, x] = labels
        out = out.view(height * factor, width * factor)
        return out[: self.size[0], : self.size[1]].contiguous()

    def _resized_rows(self, top: int, bottom: int) -> Tensor:
        logits = self.logits
        first, second, upper, lower = (
            torch.from_numpy(values).to(logits.device)
            for values in _positions(top, bottom, self.scale[0], logits.shape[1], logits.dtype)
        )
        start, stop = int(first[0]), int(second[-1]) + 1
        cells = _exact(logits[:, start:stop])
        wide = torch.ops.aten.upsample_linear1d(cells, [self.size[1]], False, 1 / self.scale[1])
        out = wide.index_select(1, second - start).mul_(lower[:, None])
        out.addcmul_(wide.index_select(1, first - start), upper[:, None])
        return out.to(logits.dtype)

    def _warped_rows(self, top: int, bottom: int) -> Tensor:
        logits = self.logits
        device = logits.device
        exact = _exact(logits)  # in half precision, places on a large canvas would be pixels off
        matrix = torch.as_tensor(self.warp, dtype=exact.dtype, device=device)
        xs = torch.arange(self.size[1], device=device) + 0.5
        ys = torch.arange(top, bottom, device=device) + 0.5
        # (rows, W, 2): where in the image each pixel's centre lies.
        points = xs[None, :, None] * matrix[:, 0] + ys[:, None, None] * matrix[:, 1] + matrix[:, 2]
        image = torch.tensor(logits.shape[:0:-1], device=device) * self.stride  # (W', H')
        grid = 2 * points / image - 1
        scores = F.grid_sample(
            exact[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False
        )[0]
        return scores.to(logits.dtype)


def _exact(logits: Tensor) -> Tensor:
    """Halves are computed on in float32 and rounded once, as ``F.interpolate`` does."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _between(padded: Tensor, index: int, factor: int, dim: int, at_edge: bool = True) -> Tensor:
    """Pixel ``index`` of each cell, interpolated along ``dim``, from cells with one more around.

    Args:
        padded: ``(C, h, w)``; ``dim`` has a cell before the first and one after the last.
        index: of ``factor`` pixels per cell.
        factor: pixels per cell.
        dim: 1 or 2.
        at_edge: the cell before the first repeats it: nothing is interpolated there.
    """
    offset = (index + 0.5) / factor - 0.5  # from the cell's centre
    before = int(offset >= 0)
    share = offset % 1
    length = padded.shape[dim] - 2
    first, second = (padded.narrow(dim, before + i, length) for i in range(2))
    between = torch.add(second * share, first, alpha=1 - share)
    if at_edge and not before:
        between.select(dim, 0).copy_(padded.select(dim, 1))
    return between


def _positions(
    top: int, bottom: int, scale: float, cells: int, dtype: torch.dtype
) -> tuple[np.ndarray, ...]:
    """Where output rows ``top`` to ``bottom - 1`` are read, as ATen's kernels compute it for logits
    of that type.

    Returns:
        the cells above and those below, ``(bottom - top,)``, and the weights of both.
    """
    real = np.float64 if dtype == torch.float64 else np.float32
    # A product and a sum in single precision with one rounding: exact in double precision.
    at = (np.arange(top, bottom) + 0.5) * float(real(scale)) - 0.5
    at = np.maximum(at, 0).astype(real)
    first = np.minimum(at.astype(np.int64), cells - 1)
    second = np.minimum(first + 1, cells - 1)
    lower = np.clip(at - first.astype(real), 0, 1).astype(real)
    return first, second, real(1) - lower, lower
