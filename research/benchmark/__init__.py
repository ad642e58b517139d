"""Time and memory of vt_seg's models compared with Detectron2's and others."""

from .measurements import PARTS, PartResult
from .report import write_report
from .settings import Precision, Settings

__all__ = ["PARTS", "PartResult", "Precision", "Settings", "write_report"]
