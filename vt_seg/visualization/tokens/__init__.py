"""The token viewer: the attention of a trained model's tokens, as a page and as a figure."""

from .analysis import LevelMaps, Prediction, TokenAnalysis, analyze_tokens
from .capture import TokenMaps, capture_tokens
from .draw_tokens import draw_tokens
from .figure import token_figure
from .page import token_page

__all__ = [
    "LevelMaps", "Prediction", "TokenAnalysis", "TokenMaps", "analyze_tokens", "capture_tokens",
    "draw_tokens", "token_figure", "token_page",
]  # fmt: skip
