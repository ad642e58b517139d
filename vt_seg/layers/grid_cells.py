"""Equal cells that tile a map of any size, by exact areas."""

import torch
from torch import Tensor


def map_to_cells(
    size: tuple[int, int], cells: tuple[int, int], mask: Tensor | None, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Share of each row and column of pixels that lies in each row and column of cells.

    The share of a pixel in a cell is the product of the two, so that two small matrix products do
    what a pooling operator would: exact areas at any size, deterministic gradients, exportable, and
    per image where masks differ.

    Args:
        size: ``(H, W)`` of the map.
        cells: rows and columns of cells.
        mask: ``(N, 1, H, W)`` or None; the cells then tile the box around its pixels.
        like: gives device and dtype.

    Returns:
        ``(rows, H)`` and ``(columns, W)``; with a mask ``(N, rows, H)`` and ``(N, columns, W)``.
    """
    in_rows = in_columns = None
    if mask is not None:
        inside = mask.flatten(1, 2) != 0
        in_rows, in_columns = inside.any(-1), inside.any(-2)
    return (
        _overlap(size[0], cells[0], in_rows, like),
        _overlap(size[1], cells[1], in_columns, like),
    )


def _overlap(length: int, cells: int, inside: Tensor | None, like: Tensor) -> Tensor:
    """Share of each pixel that lies in each of ``cells`` equal cells, along one axis.

    Args:
        length: pixels along the axis.
        cells: number of equal cells that span the pixels ``inside``, or the whole axis.
        inside: ``(N, length)`` bool, or None. A row without any counts as all.
        like: gives device and dtype.

    Returns:
        ``(cells, length)``, or ``(N, cells, length)`` with ``inside``.
    """
    # In bfloat16 there is no pixel 257: half precision only holds the result.
    dtype = torch.promote_types(like.dtype, torch.float32)
    pixel = torch.arange(length, device=like.device, dtype=dtype)
    edge = torch.arange(cells + 1, device=like.device, dtype=dtype) / cells
    if inside is None:
        edges = (edge * length).unsqueeze(-1)
    else:
        empty = ~inside.any(-1, keepdim=True)
        first = torch.where(inside | empty, pixel, length).amin(-1)
        last = torch.where(inside | empty, pixel + 1, 0).amax(-1)
        edges = torch.lerp(first[:, None], last[:, None], edge).unsqueeze(-1)
    low = torch.maximum(edges[..., :-1, :], pixel)
    high = torch.minimum(edges[..., 1:, :], pixel + 1)
    return (high - low).clamp(min=0).to(like.dtype)
