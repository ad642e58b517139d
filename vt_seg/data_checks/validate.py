"""Decodes every file of a dataset, in several processes, and gathers what is wrong."""

import multiprocessing
import os
import re
import time
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from vt_seg.data import Finding, Level, error

from .mask_formats import MaskFormat, detect_format, expected_formats
from .mask_statistics import MaskStatistics, label_findings
from .pair_check import PairReport, check_pair
from .report import Report
from .sources import Source

_WORTH_A_PROCESS = 2000  # Checking so many records takes as long as starting a process.


def validate(
    source: Source,
    sample: int | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> Report:
    """Check every pair of ``source``, or a sample.

    Args:
        source: of `from_name` or `from_folders`.
        sample: this many records, evenly spread; None decodes all.
        num_workers: processes; 1 uses this one alone, None one per core if records are many.
        progress: show a bar on stderr.

    Raises:
        ChildProcessError: if a process was killed.
    """
    records = _sampled(source.records, sample)
    statistics = MaskStatistics(len(source.class_names), source.ignore_label)
    found: list[Finding] = []
    start = time.perf_counter()
    reports = _check_pairs(records, num_workers)
    for report in tqdm(
        reports, source.name, total=len(records), unit="image", disable=not progress
    ):
        statistics.add(report)
        found += report.findings
    seconds = time.perf_counter() - start

    mask_files = [r["sem_seg_file_name"] for r in records if r.get("sem_seg_file_name")]
    mask_format = source.mask_format or detect_format(statistics, source.class_names, mask_files)
    is_complete = len(records) == len(source.records)
    fix = (
        f"looks like {mask_format.title}; {mask_format.fix}"
        if mask_format and mask_format.fix
        else ""
    )
    labels = label_findings(statistics, source.class_names, fix, is_complete)
    findings = [*source.findings, *group_findings(found), *labels]
    if not any(finding.kind == "label out of range" for finding in findings):
        findings += _wrong_format(source, statistics, mask_format)
    findings.sort(key=lambda finding: list(Level).index(finding.level))
    return Report(
        source.name,
        source.class_names,
        findings,
        statistics,
        mask_format,
        num_records=len(source.records),
        num_read=len(records),
        seconds=seconds,
    )


def group_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Make one of findings that differ only in files and numbers: a count and an example."""
    groups: dict[tuple, list[Finding]] = {}
    for finding in findings:
        message = finding.message.replace(finding.file, "") if finding.file else finding.message
        pattern = re.sub(r"\S*[/\\]\S+|\([^)]*\)|\d+", "", message)
        groups.setdefault((finding.level, finding.kind, pattern), []).append(finding)
    grouped = []
    for first, *others in groups.values():
        if others:
            count = first.count + sum(other.count for other in others)
            first = first._replace(message=f"{count} files, e.g. {first.message}", count=count)
        grouped.append(first)
    return grouped


def _sampled(records: Sequence[dict], sample: int | None) -> list[dict]:
    if sample is None or sample >= len(records):
        return list(records)
    chosen = np.linspace(0, len(records) - 1, sample).round().astype(int)
    return [records[i] for i in np.unique(chosen)]


class _Pairs(Dataset):
    """The report of each record; of what records hold, only two file names reach the workers."""

    def __init__(self, records: Sequence[dict]) -> None:
        keys = ("file_name", "sem_seg_file_name")
        self.records = [{key: record[key] for key in keys if key in record} for record in records]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> PairReport:
        return check_pair(self.records[index])


def _check_pairs(records: Sequence[dict], num_workers: int | None) -> Iterator[PairReport]:
    if num_workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        num_workers = min(cores or 1, len(records) // _WORTH_A_PROCESS)
    context = None
    if num_workers > 1 and "forkserver" in multiprocessing.get_all_start_methods():
        # A plain fork would hang if OpenCV's threads have run before.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    loader = DataLoader(
        _Pairs(records),
        batch_size=None,
        num_workers=num_workers if num_workers > 1 else 0,
        multiprocessing_context=context,
    )
    try:
        yield from loader
    except RuntimeError as wrong:
        raise ChildProcessError(
            "a worker process was killed, perhaps for lack of memory: run it again, with fewer "
            "processes"
        ) from wrong


def _wrong_format(
    source: Source, statistics: MaskStatistics, mask_format: MaskFormat | None
) -> list[Finding]:
    """Return a finding on masks in a format that these classes never have, if they are."""
    expected = expected_formats(source.class_names)
    # Files that could not be paired, as .mat files, have had their message.
    if mask_format is None or not statistics.num_masks or not mask_format.fix:
        return []
    if not expected or mask_format.letter in expected:
        return []
    values = statistics.values
    message = (
        f"{source.name}: the masks look like {mask_format.title} "
        f"(values {values[0]}..{values[-1]}); {mask_format.fix}"
    )
    return [error("wrong variant", message)]
