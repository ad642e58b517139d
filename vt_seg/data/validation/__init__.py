"""Says what is wrong with a dataset before a training run finds out."""

from .findings import Finding, Level
from .report import Report, print_report, print_verdict
from .sources import Source, from_folders, from_name, overlap_findings
from .validate import validate

__all__ = [
    "Finding",
    "Level",
    "Report",
    "Source",
    "from_folders",
    "from_name",
    "overlap_findings",
    "print_report",
    "print_verdict",
    "validate",
]
