"""The directive ``config-keys``: a table of vt_seg's configuration keys, made from its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import vt_seg.config
from vt_seg.config_file import flat_keys

SOURCE = Path(vt_seg.config.__file__)


class ConfigKeys(SphinxDirective):
    """Shows every key with its default and the comment that stands above it."""

    def run(self) -> list[nodes.Node]:
        """Return the tables, one for each node of the config."""
        self.env.note_dependency(str(SOURCE))
        cfg = CfgNode()
        vt_seg.add_vt_seg_config(cfg)
        text = tables(SOURCE.read_text(encoding="utf-8"), dict(flat_keys(cfg)))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def tables(source: str, defaults: dict[str, Any]) -> str:
    """Return Markdown with a heading and a table for each node of ``defaults``.

    A node's or a key's meaning is the comment that ``source`` has for it.
    """
    comments = dict(key_comments(source))
    rows: dict[str, list[str]] = {}
    for key, default in defaults.items():
        meaning = comments.get(key, "").replace("|", "\\|")
        row = f"| `{key.rpartition('.')[2]}` | `{default!r}` | {meaning} |"
        rows.setdefault(key.rpartition(".")[0], []).append(row)
    head = "| key | default | meaning |\n|---|---|---|\n"
    return "\n\n".join(
        f"## {node}\n\n{comments.get(node, '')}\n\n{head}" + "\n".join(lines)
        for node, lines in rows.items()
    )


def key_comments(source: str) -> Iterator[tuple[str, str]]:
    """Yield each key that ``config.py`` assigns, with the comment above it and beside it."""
    tree, lines = ast.parse(source), source.splitlines()
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    def keys_of(function: ast.FunctionDef, prefix: str) -> Iterator[tuple[str, str]]:
        for statement in function.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                yield from called(statement.value, *map(_key, statement.value.args))
            if not isinstance(statement, ast.Assign | ast.AnnAssign):
                continue
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            if not isinstance(target, ast.Attribute):
                continue
            key = f"{prefix}.{_key(target)}".lstrip(".")
            yield key, _comment(lines, statement)
            if isinstance(statement.value, ast.Call):
                yield from called(statement.value, key)

    def called(call: ast.Call, prefix: str = "") -> Iterator[tuple[str, str]]:
        function = functions.get(ast.unparse(call.func))
        if function is not None:
            yield from keys_of(function, prefix)

    yield from keys_of(functions["_defaults"], "")


def _key(node: ast.expr) -> str:
    """Return "MODEL.VT_FPN" for the expression ``cfg.MODEL.VT_FPN``."""
    return ast.unparse(node).partition(".")[2]


def _comment(lines: list[str], statement: ast.stmt) -> str:
    """Return the comment lines right above a statement and the comment at its end, joined."""
    found: list[str] = []
    number = statement.lineno - 2
    while number >= 0 and lines[number].lstrip().startswith("#"):
        found.insert(0, lines[number].strip().lstrip("# "))
        number -= 1
    if beside := re.search(r"  # (.*)$", lines[statement.end_lineno - 1]):
        found.append(beside[1])
    return " ".join(found)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive with Sphinx."""
    app.add_directive("config-keys", ConfigKeys)
    return {"parallel_read_safe": True}
