"""docs/benchmarks.md: measured sections between marks, and what people write around them."""

from collections.abc import Mapping
from pathlib import Path

from vt_seg.files import write_atomically

from ..marked_section import marks, read_section, replace_section
from .machine import describe_machine, describe_rounds
from .parts import PartResult
from .settings import Settings

DEVICES = {"cpu": "On a CPU", "cuda": "On a GPU"}
MISSING = {"cpu": "Not measured yet.", "cuda": "The full tables are missing."}


def write_report(
    path: str | Path, results: Mapping[str, PartResult], settings: Settings, command: str
) -> list[Path]:
    """Put each part into its section of the document, which is begun if there is none.

    A device has a chapter, and in it each part a section for each number format and size of images
    that it is measured with; new ones are put last. All else in the document is kept.

    Args:
        path: the document; pictures come beside it.
        results: by part.
        settings: what they were measured with.
        command: that measured them.

    Returns:
        the files written.

    Raises:
        ValueError: the document lacks the marks of the device's chapter.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else new_document()
    source = f"{describe_machine(settings)}; {describe_rounds(settings)}; `{command}`"
    written = []
    for part, result in results.items():
        name = section_name(settings, part)
        picture = path.with_name(f"{path.stem}_{name}.png")
        content = section(result, picture.name, source)
        if marks(name)[0] not in text:
            text = _with_new_section(text, settings.device, name)
        text = replace_section(text, name, content)
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


def section_name(settings: Settings, part: str) -> str:
    """Of the marks around a part's section: ``"cpu-float32-1x800x1216-neck"``."""
    return f"{settings.device}-{settings.dtype}-{settings.images.replace(' ', '')}-{part}"


def _with_new_section(text: str, chapter: str, name: str) -> str:
    """The document with an empty section at the chapter's end."""
    before = read_section(text, chapter)
    begin, end = marks(name)
    if before == MISSING[chapter]:
        before = ""
    return replace_section(text, chapter, f"{before}\n\n{begin}\n\n{end}")


def new_document() -> str:
    """The document without figures."""
    lines = ["# Benchmarks", ""]
    for device, title in DEVICES.items():
        begin, end = marks(device)
        lines += [f"## {title}", "", begin, MISSING[device], end, ""]
    return "\n".join(lines)
