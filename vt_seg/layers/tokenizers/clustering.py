"""Clustering-based tokenizer: k-means finds each image's own groups of pixels."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..autocast import without_autocast
from ..pixel_products import pixel_logits
from ..spatial_attention import SpatialSoftmax
from .pooling import CellAttention
from .tokenizer import Tokenizer


class ClusteringTokenizer(Tokenizer):
    """Clustering-based tokenizer (v4 App. C): ``A = softmax_HW(X U)``, ``U`` k-means centroids.

    Pixels are normalised to unit vectors; the centroids start as the map downsampled to L cells,
    normalised alike, and Lloyd's algorithm improves them. The logits are not scaled: a centroid has
    length 1, which is what ``1 / sqrt(C)`` makes of a filter.

    No gradient passes through the clusters. The map still gets gradients from the logits and from
    the average; the paper does not say.
    """

    def __init__(
        self,
        in_channels: int,
        num_tokens: int,
        token_channels: int,
        *,
        steps: int = 5,
        **shared: Any,
    ) -> None:
        """
        Args:
            in_channels: C.
            num_tokens: L, the number of clusters.
            token_channels: C_T.
            steps: of Lloyd's algorithm; the paper gives no number.
            shared: arguments of :class:`Tokenizer`; the position encoder has one head.

        Raises:
            ValueError: if ``steps`` is negative.
        """
        super().__init__(in_channels, token_channels, **shared)
        if steps < 0:
            raise ValueError(f"clustering steps {steps} cannot be negative")
        self.steps = steps
        self.initial_cells = CellAttention(num_tokens)
        self.attention = SpatialSoftmax()

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return tokens ``(N, C_T, L)`` of a map ``(N, C, H, W)``; ``tokens`` are not used."""
        centroids = self.centroids(x, mask)
        logits = pixel_logits(centroids.transpose(1, 2).unsqueeze(1).to(x.dtype), x)
        attention = self.attention(logits, mask)
        return self.finish(self.average(x, attention), attention, x, mask)

    @torch.no_grad()
    def centroids(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the centroids of each image, unit vectors ``(N, C, L)``, of ``(N, C, H, W)``."""
        # With half precision, sums over a large map would lose pixels.
        x = x if x.dtype == torch.float64 else x.float()
        with without_autocast(x):
            cells = self.initial_cells(x, mask)[:, 0]
            initial = F.normalize(x.flatten(2) @ cells.transpose(1, 2), dim=1)
            inside = None if mask is None else mask.flatten(1) != 0
            return spherical_kmeans(F.normalize(x.flatten(2), dim=1), initial, self.steps, inside)


def spherical_kmeans(
    pixels: Tensor, centroids: Tensor, steps: int, inside: Tensor | None = None
) -> Tensor:
    """Run Lloyd's algorithm on unit vectors (v4 App. C).

    Each step assigns every pixel to the nearest centroid, which for unit vectors is the one of the
    largest product, averages each cluster and normalises the averages. A centroid without pixels
    stays where it is.

    Args:
        pixels: unit vectors ``(N, C, P)``.
        centroids: unit vectors ``(N, C, L)`` to start from.
        steps: number of steps.
        inside: ``(N, P)`` bool, pixels that count; None for all.

    Returns:
        Centroids ``(N, C, L)``.
    """
    numbers = torch.arange(centroids.shape[2], device=pixels.device)[:, None]
    for _ in range(steps):
        nearest = (centroids.transpose(1, 2) @ pixels).argmax(dim=1, keepdim=True)
        members = nearest == numbers  # (N, L, P)
        if inside is not None:
            members = members & inside.unsqueeze(1)
        sums = pixels @ members.to(pixels.dtype).transpose(1, 2)
        centroids = torch.where(sums.any(1, keepdim=True), F.normalize(sums, dim=1), centroids)
    return centroids
