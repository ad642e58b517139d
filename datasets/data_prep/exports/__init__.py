"""Exports of annotation tools, converted to masks that ``DATASETS.CUSTOM`` reads."""

from .ade20k import ade20k_export
from .coco_instances import coco_export
from .color_masks import color_export
from .datumaro import datumaro_export
from .export import Export
from .labelme import labelme_export
from .supervisely import supervisely_export
from .voc import voc_export

__all__ = [
    "Export", "ade20k_export", "coco_export", "color_export", "datumaro_export", "labelme_export",
    "supervisely_export", "voc_export",
]  # fmt: skip
