"""Pictures of predictions, labels and visual tokens (`vt_seg.visualization.tokens`)."""

from vt_seg.drawing import contact_sheet, draw_legend, draw_sem_seg, side_by_side

from .input_images import find_images
from .picture_files import Drawn, describe_drawn, draw_each, require_all_drawn, write_new
from .predictions import draw_dataset
from .samples import Sample, View, dataset_samples, draw_samples, test_samples, training_samples
from .tokens import TokenMaps, capture_tokens, draw_tokens

__all__ = [
    "Drawn", "Sample", "TokenMaps", "View", "capture_tokens", "contact_sheet", "dataset_samples",
    "describe_drawn", "draw_dataset", "draw_each", "draw_legend", "draw_samples", "draw_sem_seg",
    "draw_tokens", "find_images", "require_all_drawn", "side_by_side", "test_samples",
    "training_samples", "write_new",
]  # fmt: skip
