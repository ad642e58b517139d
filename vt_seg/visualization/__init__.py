"""Pictures of predictions and labels."""

from .legend import draw_legend
from .overlay import draw_sem_seg
from .panels import contact_sheet, side_by_side
from .picture_files import spread_evenly
from .predictions import draw_dataset, draw_files, find_images
from .samples import Sample, View, draw_samples

__all__ = [
    "Sample",
    "View",
    "contact_sheet",
    "draw_dataset",
    "draw_files",
    "draw_legend",
    "draw_samples",
    "draw_sem_seg",
    "find_images",
    "side_by_side",
    "spread_evenly",
]
