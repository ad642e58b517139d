"""Everything that judges data: records, metadata, masks, and the config that uses them."""

from vt_seg.data import Finding, Level, raise_errors

from .config_check import (
    classification_findings,
    require_labelled_pixels,
    segmentation_findings,
)
from .metadata_check import flip_findings, metadata_findings
from .record_check import check_records, record_findings
from .report import Report, print_report, print_verdict
from .sources import Source, from_folders, from_name, overlap_findings
from .validate import validate

__all__ = [
    "Finding",
    "Level",
    "Report",
    "Source",
    "check_records",
    "classification_findings",
    "flip_findings",
    "from_folders",
    "from_name",
    "metadata_findings",
    "overlap_findings",
    "print_report",
    "print_verdict",
    "raise_errors",
    "record_findings",
    "require_labelled_pixels",
    "segmentation_findings",
    "validate",
]
