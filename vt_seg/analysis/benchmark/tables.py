"""Tables of a benchmark's measurements."""

from collections.abc import Mapping, Sequence

from vt_seg.analysis.report_table import ReportTable, Row

from .memory import PeakMemory
from .timing import Comparison, spread

_ALLOCATOR_TITLES = {"warm": "pages kept", "plain": "plain glibc"}


def speed_table(
    title: str,
    comparisons: Mapping[str, Comparison],
    reference: str,
    *,
    text: str = "",
    bounds: Mapping[str, str] | None = None,
) -> ReportTable:
    """Milliseconds and how many times as fast as the reference, a row for each contender.

    Args:
        title, text: of the table.
        comparisons: of the same contenders, by allocator.
        reference: the contender that is 1.00.
        bounds: of some contenders the one that bounds it from below; the table says how many times
            as long as that they take.
    """
    columns = ["contender"]
    for allocator in comparisons:
        how = f" ({_ALLOCATOR_TITLES[allocator]})" if len(comparisons) > 1 else ""
        columns += [f"ms{how}", "times as fast"]
        columns += ["time by that of the laterals"] if bounds else []
    rows = []
    for name in next(iter(comparisons.values())).seconds:
        cells = [name]
        for comparison in comparisons.values():
            cells.append(spread([1e3 * s for s in comparison.seconds[name]], 1))
            cells.append("1" if name == reference else spread(comparison.speedups(name, reference)))
            if bounds:
                bound = bounds.get(name)
                cells.append(spread(comparison.speedups(bound, name)) if bound else "")
        rows.append(Row(tuple(cells)))
    return ReportTable(title, tuple(columns), tuple(rows), text)


def memory_table(
    title: str, peaks: Mapping[str, PeakMemory], reference: str, *, text: str = ""
) -> ReportTable:
    """MiB and share of the reference, a row for each contender."""
    columns = ("contender", "process MiB", "by the reference", "tensors MiB", "by the reference")
    base = peaks[reference]
    rows = [
        Row(
            (
                name,
                mebibytes(peak.process),
                f"{peak.process / base.process:.2f}",
                mebibytes(peak.tensors),
                f"{peak.tensors / base.tensors:.2f}",
            )
        )
        for name, peak in peaks.items()
    ]
    return ReportTable(title, columns, tuple(rows), text)


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], text: str = ""):
    """A table of cells."""
    return ReportTable(title, tuple(columns), tuple(Row(tuple(row)) for row in rows), text)


def mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f}"
