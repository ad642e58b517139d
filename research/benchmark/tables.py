"""Tables of a benchmark's measurements."""

from collections.abc import Mapping

from ..report_table import ReportTable, Row
from .memory import PeakMemory
from .roofline import Roofline
from .scaling import CONTENDERS, NECK, Cost, pixel_exponent, token_bytes
from .settings import Settings, in_words, named
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


def macs_table(macs: Mapping[str, int], settings: Settings) -> ReportTable:
    """Multiply-adds of the necks for one image."""
    rows = [Row((name, f"{count / 1e9:.2f}")) for name, count in macs.items()]
    title = f"Neck, multiply-adds, {in_words(settings.size)}"
    return ReportTable(title, ("neck", "GMACs"), tuple(rows))


def peer_table(
    title: str,
    timed: Comparison,
    peaks: Mapping[str, PeakMemory],
    reference: str,
    missing: Mapping[str, str],
) -> ReportTable:
    """Time and memory beside other models; of those not installed, how to install them."""
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
    columns = ("model", "ms", "times as fast", "process MiB", "tensors MiB")
    return ReportTable(title, columns, tuple(rows))


def sizes_table(cost: Cost, settings: Settings) -> ReportTable:
    """Time and memory on square images, and the exponents of their growth."""
    sides = list(cost.times)
    rows = []
    for name in CONTENDERS:
        seconds, peaks = cost.seconds(name), cost.peaks(name)
        times = [f"{1e3 * s:.0f}" for s in seconds.values()]
        rows.append(Row((f"{name}, ms", *times, f"{pixel_exponent(seconds):.2f}")))
        sizes = [mebibytes(p) for p in peaks.values()]
        rows.append(Row((f"{name}, MiB", *sizes, f"{pixel_exponent(peaks):.2f}")))
    title = f"Over the size of the image, {settings.precision.name}"
    columns = ("", *(f"{side} x {side}" for side in sides), "exponent in pixels")
    return ReportTable(named(title, settings.layout), columns, tuple(rows))


def tokens_table(cost: Cost, settings: Settings) -> ReportTable:
    """Time and memory of the VT-FPN neck over the number of tokens."""
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
    columns = ("tokens per level", "VT-FPN neck, ms", "MiB", "of them tokens, KiB")
    text = "The tokens take as much at every size of the image: 4 levels, 1024 channels."
    return ReportTable(named(title, settings.layout), columns, tuple(rows), text)


def roofline_table(roofline: Roofline, settings: Settings) -> ReportTable:
    """Operations, bytes and rates of the parts."""
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
    title = f"Beside what the machine can do, {settings.precision.name}, {settings.images}"
    columns = ("", "ms", "GFLOP", "MB", "FLOP/byte", "GFLOP/s", "GB/s", "of the roofline")
    text = (
        "Operations are those of convolutions and matrix products, two per multiply-add; bytes "
        "those of their operands and results, each once. The roofline is the smaller of what the "
        "3x3 convolution (256 channels, 128 x 128) multiplies and the copy (256 MiB) moves in a "
        "second."
    )
    return ReportTable(named(title, settings.layout), columns, tuple(rows), text)


def mebibytes(count: int) -> str:
    """In MiB, without the unit."""
    return f"{count / 2**20:.0f}"
