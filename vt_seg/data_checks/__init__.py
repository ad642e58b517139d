"""Everything that judges data: metadata, records, masks, and the config that uses them."""

from vt_seg.data import Finding, Level, raise_errors

from .config_check import classification_findings, require_labelled_pixels, segmentation_findings
from .dataset_check import check_records, metadata_findings
from .report import Report, print_report, print_verdict
from .sources import Source, from_folders, from_name, overlap_findings
from .validate import validate

__all__ = [
    "Finding", "Level", "Report", "Source", "check_records", "classification_findings",
    "from_folders", "from_name", "metadata_findings", "overlap_findings", "print_report",
    "print_verdict", "raise_errors", "require_labelled_pixels", "segmentation_findings", "validate",
]  # fmt: skip
