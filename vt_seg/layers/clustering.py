"""Clustering-based tokenizer: k-means finds each image's own groups of pixels."""

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import NormFactory, VTConfig
from .pixel_attention import SpatialSoftmax, pixel_logits
from .tokenizers import CellAttention, Tokenizer


class ClusteringTokenizer(Tokenizer):
    """Clustering-based tokenizer (v4 App. C): ``A = softmax_HW(X U)``, ``U`` k-means centroids.

    Pixels are normalised to unit vectors; the centroids start as the map downsampled to L cells,
    normalised alike, and Lloyd's algorithm improves them. The logits are not scaled: a centroid has
    length 1, which is what ``1 / sqrt(C)`` makes of a filter. The paper gives no number of steps.

    No gradient passes through the clusters. The map still gets gradients from the logits and from
    the average; the paper does not say.
    """

    def __init__(
        self, in_channels: int, num_tokens: int, config: VTConfig, norm: NormFactory = None
    ) -> None:
        super().__init__(in_channels, num_tokens, config, norm)
        self.steps = config.clustering_steps
        self.initial_cells = CellAttention(num_tokens)
        self.attention = SpatialSoftmax()

    def attend(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return the attention ``(N, 1, L, H * W)`` of the centroids."""
        filters = self.centroids(x, mask).transpose(1, 2).unsqueeze(1).to(x.dtype)
        return self.attention(pixel_logits(filters, x), mask)

    @torch.no_grad()
    def centroids(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the centroids of each image, unit vectors ``(N, C, L)``, of ``(N, C, H, W)``."""
        # With half precision, sums over a large map would lose pixels.
        x = x if x.dtype == torch.float64 else x.float()
        # The meta device, on which costs are counted, has no autocast.
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            cells = self.initial_cells(x, mask)[:, 0]
            initial = F.normalize(x.flatten(2) @ cells.transpose(1, 2), dim=1)
            inside = None if mask is None else mask.flatten(1) != 0
            return spherical_kmeans(F.normalize(x.flatten(2), dim=1), initial, self.steps, inside)


def spherical_kmeans(
    pixels: Tensor, centroids: Tensor, steps: int, inside: Tensor | None = None
) -> Tensor:
    """Run Lloyd's algorithm on unit vectors (v4 App. C).

    Each step assigns every pixel ``(N, C, P)`` to the nearest centroid ``(N, C, L)``, which for
    unit vectors is the one of the largest product, averages each cluster and normalises the
    averages. A centroid without pixels stays where it is. Pixels that are not ``inside``
    ``(N, P)`` do not count.
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
