"""Logits at the head's stride, read at any size in strips of rows: label maps in little memory."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vt_seg.layers import Size

# Logits interpolated at a time: as many as a CPU's caches hold. A GPU needs more to be busy.
STRIP_LOGITS = {"cpu": 2**20}
STRIP_LOGITS_ELSEWHERE = 2**26


class LogitMap:
    """Logits of one image at a stride, read bilinearly at the pixels of an output.

    One affine map leads from a pixel of the output to a point of the image, whether the image was
    resized or warped to another size, or neither. The logits are interpolated there once, where
    Detectron2 upsamples by the stride and then resizes. If image and output have one size, both
    give the same.

    Attributes:
        size: ``(height, width)`` of the output.
        stride: pixels of the image per cell of the logits.
    """

    def __init__(
        self,
        logits: Tensor,
        stride: int,
        image_size: Size,
        output_size: Size | None = None,
        warp: np.ndarray | None = None,
    ) -> None:
        """Keep the logits as a table of cells.

        Args:
            logits: ``(C, h, w)``; the image lies in the top left corner.
            stride: pixels of the image per cell.
            image_size: cells beyond it are padding. An image that the map does not cover (of a
                backbone that rounds down) is stretched over it.
            output_size: None for that of the image.
            warp: ``(2, 3)``, maps a point ``(x, y, 1)`` of the output to one of the image, in
                pixels, pixel centres at i + 0.5. Points outside the image get the logits of its
                edge. None resizes the image to the output.
        """
        self.num_classes, self._height, self._width = logits.shape
        self.stride = stride
        self.size = image_size if output_size is None else output_size
        # (h * w, C): the classes of a cell lie together. Half precision is read in float32.
        exact = logits if logits.dtype == torch.float64 else logits.float()
        self._cells = exact.detach().permute(1, 2, 0).reshape(-1, self.num_classes).contiguous()
        height, width = image_size
        self._image_size = min(height, self._height * stride), min(width, self._width * stride)
        if warp is None:
            sides = zip(self._image_size, self.size, strict=True)
            scale_y, scale_x = (a / max(b, 1) for a, b in sides)
            warp = np.array([[scale_x, 0, 0], [0, scale_y, 0]])
        self._matrix = np.asarray(warp, dtype=np.float64).tolist()

    def strips(self) -> list[tuple[int, int]]:
        """Return ``(top, bottom)`` of strips of rows that cover the output."""
        height, width = self.size
        limit = STRIP_LOGITS.get(self._cells.device.type, STRIP_LOGITS_ELSEWHERE)
        rows = max(1, limit // max(1, self.num_classes * width))
        return [(top, min(top + rows, height)) for top in range(0, height, rows)]

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the logits ``(C, bottom - top, W)`` of some rows of the output.

        Raises:
            ValueError: if the output has no such rows, or ``bottom`` is not below ``top``.
        """
        if not 0 <= top < bottom <= self.size[0]:
            raise ValueError(f"rows {top} to {bottom} of an output of {self.size[0]} rows")
        y, x = torch.broadcast_tensors(*self._positions(top, bottom))
        return self._interpolate(y.flatten(), x.flatten()).T.unflatten(1, y.shape)

    def label_map(self) -> Tensor:
        """Return the argmax over classes of each output pixel, ``(H, W)`` int64.

        Where the four cells around a pixel agree on the class, no interpolation can change it, so
        only the other pixels, along the boundaries, are interpolated.
        """
        labels = torch.empty(self.size, dtype=torch.long, device=self._cells.device)
        of_cells = self._cells.max(dim=1).indices.view(self._height, self._width)
        right, below = of_cells.roll(-1, 1), of_cells.roll(-1, 0)
        right[:, -1], below[-1] = of_cells[:, -1], of_cells[-1]  # edges are held
        agree = (right == of_cells) & (below == of_cells)
        agree[:-1] &= right[1:] == of_cells[1:]
        unanimous = of_cells.where(agree, -1)
        for top, bottom in self.strips():
            y, x = self._positions(top, bottom)
            strip = unanimous[y.long(), x.long()]
            mixed = (strip < 0).nonzero(as_tuple=True)
            y, x = torch.broadcast_tensors(y, x)
            strip[mixed] = self._interpolate(y[mixed], x[mixed]).max(dim=1).indices
            labels[top:bottom] = strip
        return labels

    def _positions(self, top: int, bottom: int) -> tuple[Tensor, Tensor]:
        """Return the row and column in cells of each pixel centre, of broadcastable shapes."""
        x = torch.arange(self.size[1]).to(self._cells)[None] + 0.5
        y = torch.arange(top, bottom).to(self._cells)[:, None] + 0.5
        points = []
        for (by_x, by_y, shift), side in zip(self._matrix, self._image_size[::-1], strict=True):
            point = by_x * x + shift if by_x else torch.full_like(x[:, :1], shift)
            point = point + by_y * y if by_y else point
            # No further than the centres of the outermost pixels and cells.
            points.append((point.clamp(0.5, side - 0.5) / self.stride - 0.5).clamp(min=0))
        return points[1].clamp(max=self._height - 1), points[0].clamp(max=self._width - 1)

    def _interpolate(self, y: Tensor, x: Tensor) -> Tensor:
        """Return the logits ``(n, C)`` at the positions ``y`` and ``x`` ``(n,)`` in cells."""
        top, left = y.int(), x.int()
        down, right = y - top, x - left
        bottom = (top + 1).clamp(max=self._height - 1)
        next_ = (left + 1).clamp(max=self._width - 1)
        index = torch.stack([top, top, bottom, bottom], dim=1) * self._width
        index += torch.stack([left, next_, left, next_], dim=1)
        both = down * right
        weights = torch.stack([1 - down - right + both, right - both, down - both, both], dim=1)
        return F.embedding_bag(index, self._cells, per_sample_weights=weights, mode="sum")
