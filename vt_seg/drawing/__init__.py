"""Arrays drawn as pictures: label maps over images, their errors, panels side by side, sheets."""

from .comparison import draw_comparison
from .overlay import draw_legend, draw_sem_seg
from .panels import ContactSheets, contact_sheet, side_by_side, size_in_box, within_limits

__all__ = [
    "ContactSheets", "contact_sheet", "draw_comparison", "draw_legend", "draw_sem_seg",
    "side_by_side", "size_in_box", "within_limits",
]  # fmt: skip
