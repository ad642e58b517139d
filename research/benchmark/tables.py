"""Tables of the benchmark."""

from collections.abc import Mapping

from ..report_table import ReportTable, Row
from .memory import PeakMemory
from .roofline import Roofline
from .scaling import BUILDERS, NECK, Cost, pixel_exponent, token_bytes
from .settings import Settings, named, size_text
from .timing import Comparison, spread

_ALLOCATOR_TITLES = {"warm": "pages kept", "plain": "plain glibc"}


def speed_table(
    title: str,
    comparisons: Mapping[str, Comparison],
    reference: str,
    *,
    bounds: Mapping[str, str] | None = None,
) -> ReportTable:
    """Return milliseconds and speedups, a row per model; a note tells how long one compiles.

    Args:
        title: Title of the table.
        comparisons: Comparisons of the same models, by allocator.
        reference: The model whose speedup is 1.
        bounds: The laterals by model; the table has the model's time relative to theirs.
    """
    columns = ["model"]
    for allocator in comparisons:
        how = f" ({_ALLOCATOR_TITLES[allocator]})" if len(comparisons) > 1 else ""
        columns += [f"ms{how}", "speedup"]
        columns += ["relative to laterals"] if bounds else []
    rows = []
    first_calls = next(iter(comparisons.values())).first_call
    for name in next(iter(comparisons.values())).seconds:
        cells = [name]
        for comparison in comparisons.values():
            cells.append(spread([1e3 * s for s in comparison.seconds[name]], 1))
            cells.append("1" if name == reference else spread(comparison.speedups(name, reference)))
            if bounds:
                bound = bounds.get(name)
                cells.append(spread(comparison.speedups(bound, name)) if bound else "")
        compiles = "compiled" in name and name in first_calls
        note = (
            f"The first call, which compiles, takes {first_calls[name]:.0f} s." if compiles else ""
        )
        rows.append(Row(tuple(cells), note))
    return ReportTable(title, tuple(columns), tuple(rows))


def memory_table(title: str, peaks: Mapping[str, PeakMemory], reference: str) -> ReportTable:
    """Return peaks in MiB and relative to the reference, a row per model."""
    columns = ("model", "process MiB", "relative", "tensors MiB", "relative")
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
    return ReportTable(title, columns, tuple(rows))


def macs_table(macs: Mapping[str, int], settings: Settings) -> ReportTable:
    """Return the multiply-adds of the necks for one image."""
    rows = [Row((name, f"{count / 1e9:.2f}")) for name, count in macs.items()]
    title = f"Neck, multiply-adds, {size_text(settings.size)}"
    return ReportTable(title, ("neck", "GMACs"), tuple(rows))


def other_models_table(
    title: str,
    timed: Comparison,
    peaks: Mapping[str, PeakMemory],
    reference: str,
    missing: Mapping[str, str],
) -> ReportTable:
    """Return time and memory of models of other libraries.

    Args:
        title: Title of the table.
        timed: Their times.
        peaks: Their peak memory by name.
        reference: The model whose speedup is 1.
        missing: Models that are not installed, and what installs them.
    """
    rows = [
        Row(
            (
                name,
                spread([1e3 * s for s in seconds], 0),
                "1" if name == reference else spread(timed.speedups(name, reference)),
                mebibytes(peaks[name].process),
                mebibytes(peaks[name].tensors),
            )
        )
        for name, seconds in timed.seconds.items()
    ]
    rows += [
        Row((name, f"not installed: pip install {package}", "", "", ""))
        for name, package in missing.items()
    ]
    columns = ("model", "ms", "speedup", "process MiB", "tensors MiB")
    return ReportTable(title, columns, tuple(rows))


def sizes_table(cost: Cost, settings: Settings) -> ReportTable:
    """Return time and memory on square images, and the exponents of their growth."""
    sides = list(cost.times)
    rows = []
    for name in BUILDERS:
        seconds, peaks = cost.seconds(name), cost.peaks(name)
        times = [f"{1e3 * s:.0f}" for s in seconds.values()]
        rows.append(Row((f"{name}, ms", *times, f"{pixel_exponent(seconds):.2f}")))
        sizes = [mebibytes(p) for p in peaks.values()]
        rows.append(Row((f"{name}, MiB", *sizes, f"{pixel_exponent(peaks):.2f}")))
    title = f"Over the size of the image, {settings.precision.name}"
    columns = ("", *(f"{side} x {side}" for side in sides), "exponent in pixels")
    return ReportTable(named(title, settings.layout), columns, tuple(rows))


def tokens_table(cost: Cost, settings: Settings) -> ReportTable:
    """Return time and memory of the VT-FPN neck over the number of tokens."""
    rows = [
        Row(
            (
                str(number),
                f"{1e3 * cost.seconds(NECK)[number]:.1f}",
                mebibytes(cost.peaks(NECK)[number]),
                f"{token_bytes(settings, number) / 2**10:.0f}",
            )
        )
        for number in cost.times
    ]
    title = f"Over the number of tokens, {settings.precision.name}, {settings.images}"
    columns = ("tokens per level", "VT-FPN neck, ms", "MiB", "tokens, KiB")
    return ReportTable(named(title, settings.layout), columns, tuple(rows))


def roofline_table(roofline: Roofline, settings: Settings) -> ReportTable:
    """Return operations, bytes and rates of the machine's works and the models' parts."""
    bandwidth, rate = roofline.bandwidth, roofline.rate
    rows = []
    for name, (seconds, operations) in {**roofline.machine, **roofline.parts}.items():
        at_best = max(operations.flops / rate, operations.moved / bandwidth)
        rows.append(
            Row(
                (
                    name,
                    f"{1e3 * seconds:.1f}",
                    f"{operations.flops / 1e9:.1f}",
                    f"{operations.moved / 1e6:.0f}",
                    f"{operations.intensity:.1f}",
                    f"{operations.flops / seconds / 1e9:.0f}",
                    f"{operations.moved / seconds / 1e9:.1f}",
                    f"{at_best / seconds:.0%}",
                )
            )
        )
    title = f"Roofline, {settings.precision.name}, {settings.images}"
    columns = ("", "ms", "GFLOP", "MB", "FLOP/byte", "GFLOP/s", "GB/s", "of the roofline")
    return ReportTable(named(title, settings.layout), columns, tuple(rows))


def mebibytes(count: int) -> str:
    """Return a number of bytes in MiB, without the unit."""
    return f"{count / 2**20:.0f}"
