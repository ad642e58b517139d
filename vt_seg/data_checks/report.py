"""The result of a validation, for people and for machines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vt_seg.data import Finding, Level

from .mask_formats import MaskFormat
from .mask_statistics import MaskStatistics
from .sources import Source

_STYLES = {Level.ERROR: "bold red", Level.WARN: "yellow", Level.INFO: "cyan"}
_MAX_ROWS = 40  # of a table, before it gets another column of 50 characters


@dataclass
class Report:
    """What `validate` found; ``num_read`` pairs were decoded in ``seconds``."""

    source: Source
    findings: list[Finding]
    statistics: MaskStatistics
    mask_format: MaskFormat | None
    num_read: int
    seconds: float

    @property
    def ok(self) -> bool:
        """True if there is no error."""
        return all(finding.level is not Level.ERROR for finding in self.findings)

    def to_dict(self) -> dict:
        """Return all of it in types that JSON has."""
        statistics = self.statistics
        pixels, masks = statistics.pixels.tolist(), statistics.masks.tolist()
        return {
            "name": self.source.name,
            "ok": self.ok,
            "variant": str(self.mask_format) if self.mask_format else None,
            "num_records": len(self.source.records),
            "num_read": self.num_read,
            "seconds": round(self.seconds, 3),
            "findings": [finding.to_dict() for finding in self.findings],
            "mask_modes": {mode: len(files) for mode, files in statistics.modes.items()},
            "image_sizes": statistics.size_summary(),
            "ignore_label": statistics.ignore_label,
            "ignored_pixels": pixels[statistics.ignore_label],
            "classes": [
                {"label": label, "name": name, "pixels": pixels[label], "masks": masks[label]}
                for label, name in enumerate(self.source.class_names[:256])
            ],
        }


def print_report(report: Report, console: Console) -> None:
    """Print what was read, the classes' shares, and the findings, worst first."""
    console.rule(Text(report.source.name, "bold"), align="left")
    # A path is only good in one piece: let the terminal break lines, if anyone.
    console.print(Text(_summary(report)), soft_wrap=True)
    if report.statistics.num_masks:
        console.print(_class_table(report, console.width))
    if not report.findings:
        console.print("no findings")
    for finding in report.findings:
        text = Text(str(finding))
        text.stylize(_STYLES[finding.level], 0, len(finding.level.value))
        console.print(text, soft_wrap=True)


def print_verdict(reports: Sequence[Report], others: Sequence[Finding], console: Console) -> None:
    """Print one last line: how many errors and warnings there are in all."""
    levels = [finding.level for report in reports for finding in report.findings]
    levels += [finding.level for finding in others]
    errors, warnings = levels.count(Level.ERROR), levels.count(Level.WARN)
    style = "bold red" if errors else "yellow" if warnings else "bold green"
    console.print(Text(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}", style))


def _summary(report: Report) -> str:
    sizes, total = report.statistics.size_summary(), len(report.source.records)
    rate = report.num_read / report.seconds if report.seconds else 0
    lines = [
        f"{report.num_read} of {total} pairs decoded in {report.seconds:.1f} s ({rate:.0f}/s)",
        f"format: {report.mask_format or 'none of those of COCO-Stuff, LIP and Cityscapes'}",
    ]
    if sizes:
        shown = (f"{name} {sizes[name][1]}x{sizes[name][0]}" for name in ("min", "median", "max"))
        distinct = _count(sizes["distinct"], "size")
        lines.append(f"images (width x height, each separately): {', '.join(shown)}; {distinct}")
    modes = [f"{len(files)} {mode}" for mode, files in report.statistics.modes.items()]
    return "\n".join([*lines, f"masks: {', '.join(modes)}"] if modes else lines)


def _class_table(report: Report, width: int) -> Table:
    """Return each class's share of the pixels and masks, in as many columns as keep it short."""
    statistics = report.statistics
    total, masks = max(int(statistics.pixels.sum()), 1), statistics.num_masks
    labels = [*enumerate(report.source.class_names), (statistics.ignore_label, "(ignored)")]
    pixels, share = 100 * statistics.pixels / total, 100 * statistics.masks / masks
    cells = [
        (str(label), name, f"{pixels[label]:.2f} %", f"{share[label]:.0f} %")
        for label, name in labels
        if label < 256
    ]
    columns = max(1, min(math.ceil(len(cells) / _MAX_ROWS), width // 50))
    height = math.ceil(len(cells) / columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("label", "class", "pixels", "in masks") * columns:
        table.add_column(header, justify="left" if header == "class" else "right", no_wrap=True)
    for row in range(height):
        # As Text: a class may be called "[sky]", which would be markup.
        table.add_row(*(Text(text) for cell in cells[row::height] for text in cell))
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
