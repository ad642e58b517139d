"""Pictures of predictions and labels."""

from .overlay import draw_sem_seg
from .panels import contact_sheet, side_by_side
from .predictions import draw_dataset, draw_files, find_images

__all__ = [
    "contact_sheet",
    "draw_dataset",
    "draw_files",
    "draw_sem_seg",
    "find_images",
    "side_by_side",
]
