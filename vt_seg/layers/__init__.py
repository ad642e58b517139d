"""The paper in plain PyTorch. Nothing here imports anything but torch."""

from .graph_conv import GraphConv
from .position_encoding import PositionEncoder
from .projector import Projector
from .spatial_attention import SpatialSoftmax
from .stack import VisualTransformerStack
from .token_attention import TokenAttention
from .token_mixer import TokenMixer
from .tokenizers import (
    ClusteringTokenizer,
    FilterTokenizer,
    PoolingTokenizer,
    RecurrentTokenizer,
    Tokenizer,
)
from .visual_transformer import VisualTransformer
from .vt_fpn import VTFPN

__all__ = [
    "ClusteringTokenizer",
    "FilterTokenizer",
    "GraphConv",
    "PoolingTokenizer",
    "PositionEncoder",
    "Projector",
    "RecurrentTokenizer",
    "SpatialSoftmax",
    "TokenAttention",
    "TokenMixer",
    "Tokenizer",
    "VTFPN",
    "VisualTransformer",
    "VisualTransformerStack",
]
