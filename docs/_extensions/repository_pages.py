"""Documents outside of ``docs/`` as pages of the site, and links between all of them.

README.md and the other documents are read where they are, on the web page of a repository, too, so
their text is in one place. Links to files that are no pages, such as scripts, become plain text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
# Page: document, and the headings between which its text is taken; "" is the whole document.
SOURCES = {
    "installation": ("README.md", "## Installation\n", "## Quick start\n"),
    "quick_start": ("README.md", "## Quick start\n", "## Cost\n"),
    "datasets": ("datasets/README.md", "", ""),
    "contributing": ("CONTRIBUTING.md", "", ""),
    "changelog": ("CHANGELOG.md", "", ""),
}
PAGES = {source: page for page, (source, *_) in SOURCES.items()} | {"README.md": "index"}
_LINK = re.compile(r"(!?)\[([^]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def page_text(page: str, text: str) -> str:
    """Return the Markdown of a page, with the document that belongs to it behind its title."""
    source, start, end = SOURCES.get(page, (f"docs/{page}.md", "", ""))
    if page in SOURCES:
        document = (ROOT / source).read_text(encoding="utf-8")
        text += document.partition(start)[2].partition(end)[0] if start else document
    return _LINK.sub(lambda link: _site_link(link, source), text)


def _site_link(link: re.Match[str], source: str) -> str:
    """Return a link of a document of the repository as a link of the site."""
    image, label, target, anchor = link[1], link[2], link[3], link[4] or ""
    if not target or ":" in target:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if path in PAGES:
        return f"[{label}]({PAGES[path]}.md{anchor})"
    if path.startswith("docs/"):
        return f"{image}[{label}](/{path.removeprefix('docs/')}{anchor})"
    return label


def _read(app: Sphinx, page: str, content: list[str]) -> None:
    if page in SOURCES:
        app.env.note_dependency(str(ROOT / SOURCES[page][0]), docname=page)
    content[0] = page_text(page, content[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Change each page as Sphinx reads it."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
