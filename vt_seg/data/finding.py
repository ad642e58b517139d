"""The one type for what is wrong with data: raised by training, listed by the validator."""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Level(str, Enum):
    """ERROR: training or evaluation is refused or goes wrong. WARN: probably a mistake."""

    ERROR = "ERROR"
    WARN = "WARN"
    INFO = "INFO"


class Finding(NamedTuple):
    """One thing that is wrong with a dataset or with the config that uses it.

    Attributes:
        level: how bad it is.
        kind: a few words that stay the same, for machines.
        message: names the file or key, the value and the fix, for people.
        count: number of files that have it.
        file: one of them; "" if no file is the cause.
    """

    level: Level
    kind: str
    message: str
    count: int = 1
    file: str = ""

    def __str__(self) -> str:
        return f"{self.level.value} {self.message}"

    def to_dict(self) -> dict[str, object]:
        """Return the fields in types that JSON has."""
        return {**self._asdict(), "level": self.level.value}


def error(kind: str, message: str, count: int = 1, file: str = "") -> Finding:
    """Return a finding of level ERROR."""
    return Finding(Level.ERROR, kind, message, count, file)


def raise_errors(findings: Iterable[Finding], separator: str = "\n", prefix: str = "") -> None:
    """Raise ValueError with the messages of all errors, if there is one.

    Raises:
        ValueError: if a finding has level ERROR.
    """
    messages = [finding.message for finding in findings if finding.level is Level.ERROR]
    if messages:
        raise ValueError(prefix + separator.join(messages))
