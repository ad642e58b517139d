"""Tokenizers: from a feature map to a few visual tokens (v1 Secs. 3.1, 3.4; v4 Sec. 3.1, App. C).

They differ in where the attention comes from: learned filters, earlier tokens, k-means clusters, or
cells of a grid. What follows the attention is alike, see :class:`Tokenizer`.
"""

from .clustering import ClusteringTokenizer, spherical_kmeans
from .filter import FilterTokenizer
from .pooling import CellAttention, PoolingTokenizer
from .recurrent import RecurrentTokenizer
from .tokenizer import Tokenizer

__all__ = [
    "CellAttention",
    "ClusteringTokenizer",
    "FilterTokenizer",
    "PoolingTokenizer",
    "RecurrentTokenizer",
    "Tokenizer",
    "spherical_kmeans",
]
