"""The paper in plain PyTorch. Nothing here imports anything but torch."""

from .position_encoding import PositionEncoder
from .projector import Projector
from .spatial_attention import SpatialSoftmax
from .token_transformer import TokenTransformer
from .tokenizers import FilterTokenizer, RecurrentTokenizer
from .visual_transformer import VisualTransformer
from .vt_fpn import VTFPN

__all__ = [
    "FilterTokenizer",
    "PositionEncoder",
    "Projector",
    "RecurrentTokenizer",
    "SpatialSoftmax",
    "TokenTransformer",
    "VTFPN",
    "VisualTransformer",
]
