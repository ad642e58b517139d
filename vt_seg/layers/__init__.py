"""The paper in plain PyTorch. Nothing here imports anything but torch."""

from .block import VisualTransformer, VisualTransformerStack
from .clustering import ClusteringTokenizer
from .config import MIXERS, REVISIONS, TOKENIZERS, NormFactory, Size, VTConfig
from .masks import map_stride, resize_mask
from .position_encoding import PositionEncoder
from .projector import Projector
from .token_conv import TokenConv
from .token_mixer import GraphConv, TokenAttention, TokenMixer
from .tokenizers import FilterTokenizer, PoolingTokenizer, RecurrentTokenizer, Tokenizer
from .vt_fpn import VTFPN

__all__ = [
    "MIXERS",
    "REVISIONS",
    "TOKENIZERS",
    "VTFPN",
    "ClusteringTokenizer",
    "FilterTokenizer",
    "GraphConv",
    "NormFactory",
    "PoolingTokenizer",
    "PositionEncoder",
    "Projector",
    "RecurrentTokenizer",
    "Size",
    "TokenAttention",
    "TokenConv",
    "TokenMixer",
    "Tokenizer",
    "VTConfig",
    "VisualTransformer",
    "VisualTransformerStack",
    "map_stride",
    "resize_mask",
]
