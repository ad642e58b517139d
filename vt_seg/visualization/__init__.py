"""Pictures of predictions, labels and visual tokens."""

from .draw_each import Drawn, require_all_drawn
from .image_search import FoundImages, find_images
from .legend import draw_legend
from .overlay import draw_sem_seg
from .panels import contact_sheet, side_by_side
from .picture_files import spread_evenly
from .predictions import draw_dataset, draw_files
from .samples import Sample, View, draw_samples
from .tokens.drawing import draw_tokens
from .tokens.maps import TokenMaps, capture_tokens
from .tokens.study import LevelMaps, TokenStudy, study_tokens

__all__ = [
    "Drawn",
    "FoundImages",
    "LevelMaps",
    "Sample",
    "TokenMaps",
    "TokenStudy",
    "View",
    "capture_tokens",
    "contact_sheet",
    "draw_dataset",
    "draw_files",
    "draw_legend",
    "draw_samples",
    "draw_sem_seg",
    "draw_tokens",
    "find_images",
    "require_all_drawn",
    "side_by_side",
    "spread_evenly",
    "study_tokens",
]
