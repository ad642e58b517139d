"""The keys of a config by their dotted names."""

from collections.abc import Iterator, Mapping
from typing import Any


def flat_keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``{"MODEL": {"DEVICE": "cpu"}}`` to ``("MODEL.DEVICE", "cpu")``, ...

    Args:
        node: a config, or a YAML file's content; an empty node in it is a value.
        prefix: of every name.
    """
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from flat_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
