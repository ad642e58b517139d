"""Decodes every file of a dataset, in several processes, and gathers what is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from ..process_pool import process_pool
from .findings import Finding, FindingGroups, Level
from .label_findings import label_findings
from .pair_inspection import PairReport, inspect_pair
from .report import Report
from .sources import Source
from .statistics import Statistics
from .variants import Variant, detect_variant, expected_letters

_CHUNK = 16  # records that a process takes at a time
_WORTH_A_PROCESS = 2000  # records that take as long as starting a process


def validate(
    source: Source,
    sample: int | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> Report:
    """Looks at every pair of ``source``, or at a sample.

    Args:
        sample: this many records, evenly spread; None decodes all.
        num_workers: processes; 1 takes none beside this one, None one a core for many records.
        progress: show a bar on stderr.
    """
    records = _sampled(source.records, sample)
    statistics = Statistics(len(source.class_names), source.ignore_label)
    groups = FindingGroups()
    start = time.perf_counter()
    reports = _inspect(records, num_workers)
    for report in tqdm(
        reports, source.name, total=len(records), unit="image", disable=not progress
    ):
        statistics.add(report)
        for finding in report.findings:
            groups.add(finding)
    seconds = time.perf_counter() - start

    mask_files = [r["sem_seg_file_name"] for r in records if r.get("sem_seg_file_name")]
    variant = source.variant or detect_variant(statistics, source.class_names, mask_files)
    complete = len(records) == len(source.records)
    findings = [
        *source.findings,
        *groups.findings(),
        *label_findings(statistics, source.class_names, variant, complete),
    ]
    if not any(finding.kind == "label out of range" for finding in findings):
        findings += _wrong_variant(source, statistics, variant)
    findings.sort(key=lambda finding: list(Level).index(finding.level))
    return Report(
        name=source.name,
        class_names=source.class_names,
        findings=findings,
        statistics=statistics,
        variant=variant,
        num_records=len(source.records),
        num_read=len(records),
        seconds=seconds,
    )


def _sampled(records: Sequence[dict], sample: int | None) -> list[dict]:
    if sample is None or sample >= len(records):
        return list(records)
    chosen = np.linspace(0, len(records) - 1, sample).round().astype(int)
    return [records[i] for i in np.unique(chosen)]


def _inspect(records: Sequence[dict], num_workers: int | None) -> Iterator[PairReport]:
    """The report of each record, in order."""
    # Records may carry annotations; only two file names need to travel.
    keys = ("file_name", "sem_seg_file_name")
    records = [{key: record[key] for key in keys if key in record} for record in records]
    with process_pool(_num_workers(num_workers, len(records)), inspect_pair.__module__) as pool:
        if pool is None:
            yield from map(inspect_pair, records)
        else:
            yield from pool.map(inspect_pair, records, chunksize=_CHUNK)


def _num_workers(asked: int | None, num_records: int) -> int:
    """Processes; by default as many as there are cores, and none where starting them costs more."""
    if asked is not None:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, num_records // _WORTH_A_PROCESS)


def _wrong_variant(
    source: Source, statistics: Statistics, variant: Variant | None
) -> list[Finding]:
    """Masks in a format that these classes do not have, though every value is a class."""
    expected = expected_letters(source.class_names)
    # Files that could not be paired, as .mat files, have had their message.
    if variant is None or not statistics.num_masks or not variant.remedy or not expected:
        return []
    if variant.letter in expected:
        return []
    values = statistics.values
    message = (
        f"{source.name}: the masks look like {variant.title} (values {values[0]}..{values[-1]}); "
        f"{variant.remedy}"
    )
    return [Finding(Level.ERROR, "wrong variant", message)]
