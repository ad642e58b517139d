"""docs/benchmarks.md: measured sections between marks, and what people write around them."""

from collections.abc import Mapping
from pathlib import Path

from vt_seg.analysis.marked_section import marks, replace_section
from vt_seg.data.atomic_files import write_atomically

from .machine import describe_machine
from .parts import PARTS, PartResult
from .settings import Settings

DEVICES = {"cpu": "On a CPU", "cuda": "On a GPU"}
MISSING = {"cpu": "Not measured yet.", "cuda": "The figures are missing: no GPU was at hand."}


def write_report(
    path: str | Path, results: Mapping[str, PartResult], settings: Settings, command: str
) -> list[Path]:
    """Put each part into its section of the document, which is begun if there is none.

    Everything outside the marked sections is kept, as are the sections of parts not measured now.

    Args:
        path: the document; pictures come beside it.
        results: by part.
        settings: what they were measured with.
        command: that measured them.

    Returns:
        the files written.

    Raises:
        ValueError: the document lacks a section's marks.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else new_document()
    device = settings.device
    written = []
    for part, result in results.items():
        picture = path.with_name(f"{path.stem}_{part}{'' if device == 'cpu' else f'_{device}'}.png")
        text = replace_section(
            text,
            section_name(device, part),
            section(result, picture.name, f"{describe_machine(settings)}; `{command}`"),
        )
        if result.picture is not None:
            write_atomically(picture, result.picture)
            written.append(picture)
    write_atomically(path, text.encode())
    return [path, *written]


def section(result: PartResult, picture: str, source: str) -> str:
    """Markdown of a part: its tables, its picture, and how it was measured."""
    parts = [table.markdown().replace("## ", "### ", 1) for table in result.tables]
    if result.picture is not None:
        parts.append(f"![The figures of these tables]({picture})")
    return "\n\n".join([*parts, f"{source}."])


def section_name(device: str, part: str) -> str:
    """Of the marks around a part's section."""
    return f"{device}-{part}"


def new_document() -> str:
    """The document without figures."""
    lines = ["# Benchmarks", ""]
    for device, title in DEVICES.items():
        lines += [f"## {title}", ""]
        for part in PARTS:
            begin, end = marks(section_name(device, part))
            lines += [begin, MISSING[device] if part == next(iter(PARTS)) else "", end, ""]
    return "\n".join(lines)
