"""Decodes every file of a dataset, in several processes, and gathers what is wrong."""

import multiprocessing
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from vt_seg.data import LABEL_MAP, Finding, ImageReader, Level, spread_evenly

from .mask_formats import detect_format, expected_formats
from .mask_statistics import MaskStatistics, label_findings, map_findings
from .pair_check import PairReport, check_pair
from .report import Report
from .sources import Source

_WORTH_A_PROCESS = 2000  # Checking so many records takes as long as starting a process.


def validate(
    source: Source,
    sample: int | None = None,
    num_workers: int | None = None,
    progress: bool = True,
    images: ImageReader | None = None,
) -> Report:
    """Check every pair of ``source``, or ``sample`` of them, evenly spread.

    ``images`` reads them, None as 8-bit colours. ``num_workers`` 1 uses this process alone, None
    one process per core if records are many. ``progress`` shows a bar on stderr.

    Raises:
        ChildProcessError: if a process was killed.
    """
    records = source.records if sample is None else spread_evenly(source.records, sample)
    statistics = MaskStatistics(len(source.class_names), source.ignore_label)
    found: list[Finding] = []
    start = time.perf_counter()
    reports = _check_pairs(records, num_workers, images)
    for report in tqdm(reports, source.name, len(records), unit="image", disable=not progress):
        statistics.add(report)
        found += report.findings
    seconds = time.perf_counter() - start

    mask_files = [r["sem_seg_file_name"] for r in records if r.get("sem_seg_file_name")]
    mask_format = source.mask_format or detect_format(statistics, source.class_names, mask_files)
    fix = mask_format.fix if mask_format is not None else ""
    format_fix = f"looks like {mask_format.title}; {fix}" if mask_format and fix else ""
    is_complete = len(records) == len(source.records)
    labels = label_findings(statistics, source.class_names, format_fix, is_complete)
    findings = [*source.findings, *group_findings(found), *labels]
    if source.label_map is not None and statistics.num_masks:
        findings += map_findings(statistics, source.label_map, source.class_names, is_complete)
    is_out_of_range = any(finding.kind == "label out of range" for finding in labels)
    if mask_format and fix and statistics.num_masks and not is_out_of_range:
        # Every value is a class, but these classes may come in other formats only.
        expected = expected_formats(source.class_names)
        if expected and mask_format.letter not in expected:
            values = f"values {statistics.values[0]}..{statistics.values[-1]}"
            message = f"the masks look like {mask_format.title} ({values}); {fix}"
            findings.append(Finding.error("wrong variant", f"{source.name}: {message}"))
    findings.sort(key=lambda finding: list(Level).index(finding.level))
    return Report(source, findings, statistics, mask_format, len(records), seconds)


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
            first = replace(first, message=f"{count} files, e.g. {first.message}", count=count)
        grouped.append(first)
    return grouped


class _Pairs(Dataset):
    """The report of each record; only file names and label maps reach the workers."""

    def __init__(self, records: Sequence[dict], images: ImageReader | None) -> None:
        self.images = images
        keys = ("file_name", "sem_seg_file_name", LABEL_MAP)
        self.records = [{key: record[key] for key in keys if key in record} for record in records]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> PairReport:
        return check_pair(self.records[index], self.images)


def _check_pairs(
    records: Sequence[dict], num_workers: int | None, images: ImageReader | None
) -> Iterator[PairReport]:
    if num_workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        num_workers = min(cores or 1, len(records) // _WORTH_A_PROCESS)
    context = None
    if num_workers > 1 and "forkserver" in multiprocessing.get_all_start_methods():
        # A plain fork would hang if OpenCV's threads had run before.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    loader = DataLoader(
        _Pairs(records, images),
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
