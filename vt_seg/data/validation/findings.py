"""What the validator has to say: one line a fault, however many files have it."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class Level(str, Enum):
    """ERROR: training or evaluation refuses it or goes wrong. WARN: probably not meant so."""

    ERROR = "ERROR"
    WARN = "WARN"
    INFO = "INFO"


class Finding(NamedTuple):
    """One fault.

    Attributes:
        kind: a few words that stay the same, for machines.
        message: file, value and remedy, for people.
        count: files that have it.
        file: one of them; "" where no file is at fault.
    """

    level: Level
    kind: str
    message: str
    count: int = 1
    file: str = ""

    def __str__(self) -> str:
        return f"{self.level.value} {self.message}"


class FindingGroups:
    """Collects findings about single files; equal ones become one, with a count and an example."""

    def __init__(self) -> None:
        self._groups: dict[tuple, list] = {}

    def add(self, finding: Finding) -> None:
        key = (finding.level, finding.kind, _pattern(finding))
        group = self._groups.setdefault(key, [finding, 0])
        group[1] += finding.count

    def findings(self) -> list[Finding]:
        """One finding a group, in the order of their first files."""
        return [_with_count(first, count) for first, count in self._groups.values()]


def _pattern(finding: Finding) -> str:
    """The message without what differs from file to file: names, numbers, a library's words."""
    message = finding.message.replace(finding.file, "") if finding.file else finding.message
    message = re.sub(r"\S*[/\\]\S+|\([^)]*\)", "", message)
    return re.sub(r"\d+", "", message)


def _with_count(first: Finding, count: int) -> Finding:
    if count == 1:
        return first
    return first._replace(message=f"{count} files, e.g. {first.message}", count=count)
