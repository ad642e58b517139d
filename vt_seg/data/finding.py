"""The one type for what is wrong with data: raised by training, listed by the validator."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum


class Level(str, Enum):
    """ERROR: training or evaluation is refused or goes wrong. WARN: probably a mistake."""

    ERROR = "ERROR"
    WARN = "WARN"
    INFO = "INFO"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a dataset or with the config that uses it.

    ``kind`` is a few words that stay the same, for machines; ``message`` names the file or key, the
    value and the fix, for people; ``count`` files have it, of which ``file`` is one, or "".
    """

    level: Level
    kind: str
    message: str
    count: int = 1
    file: str = ""

    @classmethod
    def error(cls, kind: str, message: str, count: int = 1, file: str = "") -> "Finding":
        """Return a finding of level ERROR."""
        return cls(Level.ERROR, kind, message, count, file)

    @classmethod
    def warning(cls, kind: str, message: str, count: int = 1, file: str = "") -> "Finding":
        """Return a finding of level WARN."""
        return cls(Level.WARN, kind, message, count, file)

    def __str__(self) -> str:
        return f"{self.level.value} {self.message}"

    def to_dict(self) -> dict[str, object]:
        """Return the fields in types that JSON has."""
        return {**asdict(self), "level": self.level.value}


def raise_errors(findings: Iterable[Finding], separator: str = "\n", prefix: str = "") -> None:
    """Raise ValueError with the messages of all findings of level ERROR, if there are any."""
    messages = [finding.message for finding in findings if finding.level is Level.ERROR]
    if messages:
        raise ValueError(prefix + separator.join(messages))
