"""docs/benchmarks.md: fills the measured sections of its two chapters."""

from collections.abc import Mapping
from pathlib import Path

from vt_seg.files import write_atomically

from ..marked_section import marks, read_document, read_section, replace_section
from ..provenance import describe_machine
from ..report_table import titled_tables
from .measurements import PartResult
from .settings import Settings

CHAPTERS = ("cpu", "cuda")
PACKAGES = ("transformers", "segmentation-models-pytorch", "torchvision")


def write_report(
    path: str | Path, results: Mapping[str, PartResult], settings: Settings, command: str
) -> list[Path]:
    """Write each part into its section of the document, which is begun if there is none.

    A device has a chapter, a marked section. In it each part has a section for each dtype and size
    of images that it is measured with; new ones are added at the end. All else is kept.

    Args:
        path: Path of the document; plots are written into the same folder.
        results: Results by part.
        settings: Settings of the measurements.
        command: Command that measured them.

    Returns:
        The files written.

    Raises:
        ValueError: if the document lacks the marks of the device's chapter.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = read_document(path, CHAPTERS)
    machine = describe_machine(settings.threads, device=settings.device, packages=PACKAGES)
    rounds = f"{settings.rounds} rounds of necks and heads, {settings.slow_rounds} of the rest"
    source = f"{machine}; {rounds}; `{command}`"
    written = []
    for part, result in results.items():
        name = section_name(settings, part)
        plot = path.with_name(f"{path.stem}_{name}.png")
        if marks(name)[0] not in text:
            text = _with_new_section(text, settings.device, name)
        text = replace_section(text, name, section(result, plot.name, source))
        if result.plot is not None:
            write_atomically(plot, result.plot)
            written.append(plot)
    write_atomically(path, text.encode())
    return [path, *written]


def section(result: PartResult, plot: str, source: str) -> str:
    """Return a part in Markdown: its tables, its plot, and how it was measured."""
    parts = [titled_tables(result.tables)]
    if result.plot is not None:
        parts.append(f"![The figures of these tables]({plot})")
    return "\n\n".join([*parts, f"{source}."])


def section_name(settings: Settings, part: str) -> str:
    """Return the name of a part's section: ``"cpu-float32-1x800x1216-neck"``."""
    return f"{settings.device}-{settings.dtype}-{settings.images.replace(' ', '')}-{part}"


def _with_new_section(text: str, chapter: str, name: str) -> str:
    """Return the document with an empty section at the chapter's end."""
    begin, end = marks(name)
    return replace_section(text, chapter, f"{read_section(text, chapter)}\n\n{begin}\n\n{end}")
