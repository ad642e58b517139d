"""Everything that judges data: metadata, records, masks, and the config that uses them."""

from vt_seg.data import Finding, Level, raise_errors

from .config_check import (
    check_classification_datasets,
    check_labelled,
    check_segmentation_datasets,
    config_findings,
)
from .dataset_check import check_records
from .report import Report, print_report, print_verdict
from .sample_check import check_sample
from .sources import Source, from_folders, from_name, overlap_findings
from .validate import validate

__all__ = [
    "Finding", "Level", "Report", "Source", "check_classification_datasets", "check_labelled",
    "check_records", "check_sample", "check_segmentation_datasets", "config_findings",
    "from_folders", "from_name", "overlap_findings", "print_report", "print_verdict",
    "raise_errors", "validate",
]  # fmt: skip
