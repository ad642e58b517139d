"""Reading JSON that annotation tools export: its fields are checked before they are used."""

import json
import math
import os
from typing import Any

from vt_seg.files import read_text

_KINDS = {list: "a list", dict: "an object", str: "a text", int: "a whole number"}


def read_json(path: str | os.PathLike) -> Any:
    """Return what a JSON file holds, in UTF-8 or UTF-16.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, truncated, no JSON (an LFS pointer, a web page), or
            has another encoding.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: or a number of 5000 digits
        raise ValueError(f"{path} is truncated or not JSON ({error}); export it again") from error


def member(parent: Any, key: str, kind: type, where: str) -> Any:
    """Return ``parent[key]``.

    Raises:
        ValueError: if ``parent`` is no object, lacks the key, or the value is of another kind; the
            message begins with ``where``.
    """
    if not isinstance(parent, dict) or key not in parent:
        raise ValueError(f"{where} lacks {key!r}; export it again")
    value = parent[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: {key!r} is {shorten(value)}, not {_KINDS[kind]}; correct it")
    return value


def objects(parent: Any, key: str, where: str) -> list[dict[str, Any]]:
    """Return ``parent[key]``, a list of objects.

    Raises:
        ValueError: if it is anything else; the message begins with ``where``.
    """
    values = member(parent, key, list, where)
    wrong = [value for value in values if not isinstance(value, dict)]
    if wrong:
        raise ValueError(f"{where}: {key!r} holds {shorten(wrong[0])}, not an object; correct it")
    return values


def numbers(values: Any, where: str) -> list[float]:
    """Return a list of finite numbers.

    Raises:
        ValueError: if it is anything else; the message begins with ``where``.
    """
    is_list = isinstance(values, list)
    wrong = [v for v in values if type(v) not in (int, float)] if is_list else [values]
    wrong = wrong or [v for v in values if not math.isfinite(v)]
    if wrong:
        raise ValueError(f"{where} has {shorten(wrong[0])} where a number is needed; correct it")
    return values


def points(values: Any, where: str) -> list[float]:
    """Return the numbers ``x, y, x, y, ...`` of a list of points ``[x, y]``.

    Raises:
        ValueError: if it is anything else; the message begins with ``where``.
    """
    if not isinstance(values, list):
        raise ValueError(f"{where} has the points {shorten(values)}, not a list of [x, y]")
    wrong = [p for p in values if not isinstance(p, list) or len(p) != 2]
    if wrong:
        raise ValueError(f"{where} has the point {shorten(wrong[0])}, not [x, y]")
    return numbers([number for point in values for number in point], where)


def shorten(value: Any) -> str:
    """Return a value as it is shown in messages."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
