"""Config files and ``KEY VALUE`` overrides, read safely, with errors that name the place."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import yaml
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager
from fvcore.common.config import BASE_KEY

from vt_seg.files import require_regular_file

from .config import RENAMED_KEYS, warn_of_renamed_key

_UNKNOWN_KEY = re.compile(r"Non-existent config key: (.+)")
_OTHER_TYPE = re.compile(
    r"Type mismatch \(<class '([\w.]+)'> vs. <class '([\w.]+)'>\).* config key: (\S+)", re.DOTALL
)
_UNKNOWN_TAG = re.compile(r"could not determine a constructor for the tag '(.+)'")
_YAML_TAGS = "tag:yaml.org,2002:"
_TYPE_NAMES = {
    "str": "a text",
    "float": "a decimal number",
    "int": "a whole number",
    "vt_seg.config_file._SafeCfgNode": "a node of keys",
}


def merge_config_file(cfg: CfgNode, path: str) -> None:
    """Merge a YAML file, and the ``_BASE_`` files that it inherits, into ``cfg``, in place.

    Unlike Detectron2's ``merge_from_file`` it never runs Python that a file's tags ask for, and it
    takes keys that were renamed, with a warning.

    Raises:
        FileNotFoundError: if there is no such file, or none of its ``_BASE_``.
        ValueError: if it or a ``_BASE_`` is no regular file, has tags that make Python objects, is
            not YAML, names a key that does not exist, or gives a key a value of another type.
    """
    require_regular_file(path)
    if not PathManager.isfile(path):
        raise FileNotFoundError(f"there is no config file {path}")
    with _errors_in_sentences(cfg, path):
        merged = _SafeCfgNode(cfg)
        merged.merge_from_file(path, allow_unsafe=False)
        cfg.merge_from_other_cfg(merged)


def merge_overrides(cfg: CfgNode, overrides: Sequence[Any]) -> None:
    """Merge ``["KEY", "VALUE", ...]`` in place; raise ValueError for wrong pairs, keys or types."""
    if len(overrides) % 2:
        raise ValueError(
            f"overrides are pairs KEY VALUE, and {overrides[-1]!r} is left over: "
            f"{' '.join(map(str, overrides))}"
        )
    known = _nodes_and_keys(cfg)
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        if key in RENAMED_KEYS:
            warn_of_renamed_key(key, value)
            key = RENAMED_KEYS[key]
        if key not in known and key != BASE_KEY:
            raise ValueError(f"{key} {value}: {_no_such_key(known, key)}")
        with _errors_in_sentences(cfg, f"{key} {value}"):
            cfg.merge_from_list([key, value])


def read_yaml(path: str) -> Any:
    """Return one YAML file's content without its ``_BASE_``; errors as `merge_config_file`'s."""
    with _yaml_errors_in_sentences(path), _SafeCfgNode._open_cfg(path) as file:
        return yaml.safe_load(file)


def flat_keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values: ``{"MODEL": {"DEVICE": "cpu"}}`` has ``"MODEL.DEVICE"``."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from flat_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


class _FileError(ValueError):
    """Says in a sentence, which names the file, what is wrong with it."""


class _SafeCfgNode(CfgNode):
    """A config that checks each file that it reads, and renames old keys."""

    @classmethod
    def _open_cfg(cls, filename: str) -> IO[str]:
        require_regular_file(filename)
        return super()._open_cfg(filename)

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        content = read_yaml(filename)
        if not isinstance(content, dict):
            raise _FileError(
                f"{filename}: it is no mapping of keys to values, but {type(content).__name__}"
            )
        bases = content.get(BASE_KEY, "")
        names = bases if isinstance(bases, list) else [bases]
        if not all(isinstance(name, str) for name in names):
            raise _FileError(f"{filename}: _BASE_ is {bases!r}: name a file, or a list of files")
        if _contains_itself(content, set(), set()):
            raise _FileError(
                f"{filename}: a value contains itself by an alias (*) of its own anchor (&): write "
                "the value out"
            )
        merged = super().load_yaml_with_base(filename, allow_unsafe=allow_unsafe)
        _rename_keys(merged, dict(flat_keys(content)), filename)
        return merged


def _rename_keys(merged: dict[str, Any], own: Mapping[str, Any], filename: str) -> None:
    """Rename the keys of a file in place, already merged over its bases with renamed keys."""
    for old, new in RENAMED_KEYS.items():
        *path, name = old.split(".")
        node: Any = merged
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or name not in node:
            continue
        value = node.pop(name)
        if value in ("", None):  # unset, as in the config.yaml of an earlier run
            continue
        if own.get(new, value) != value:
            raise _FileError(
                f"{filename} sets {new} {own[new]} and, by its old name, {old} {value}: keep {new}"
            )
        warn_of_renamed_key(old, value)
        *path, name = new.split(".")
        node = merged
        for part in path:
            node = node.setdefault(part, {})
        node[name] = value


def _contains_itself(value: Any, around: set[int], done: set[int]) -> bool:
    """Return True if a value contains itself; `around` and `done` are the ``id`` of collections."""
    if not isinstance(value, dict | list) or id(value) in done:
        return False
    if id(value) in around:
        return True
    items = value.values() if isinstance(value, dict) else value
    found = any(_contains_itself(item, around | {id(value)}, done) for item in items)
    done.add(id(value))
    return found


@contextmanager
def _yaml_errors_in_sentences(path: str) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}" if mark else path
        if tag := _UNKNOWN_TAG.search(error.problem or ""):
            raise _FileError(
                f"{where}: the tag {tag[1].replace(_YAML_TAGS, '!!')} is refused: configs may hold "
                "texts, numbers, lists and mappings alone, as tags that make Python objects can "
                "run code"
            ) from error
        raise _FileError(f"{where} is not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _FileError(f"{path} is not YAML: {error}") from error


@contextmanager
def _errors_in_sentences(cfg: CfgNode, source: str) -> Iterator[None]:
    """Turn what YAML, fvcore and yacs raise into sentences that begin with ``source``."""
    with _yaml_errors_in_sentences(source):
        try:
            yield
        except (_FileError, UnicodeDecodeError):  # complete, or handled as YAML's
            raise
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{source} inherits {error.filename}, which does not exist: correct its _BASE_"
            ) from error
        except RecursionError as error:
            raise ValueError(
                f"{source}: its _BASE_ files inherit each other in a circle, or values nest too "
                "deeply"
            ) from error
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{source}: {_reason(cfg, error)}") from error


def _nodes_and_keys(cfg: CfgNode) -> set[str]:
    """Return the dotted names of all keys and of the nodes that hold them."""
    parts = (key.split(".") for key, _ in flat_keys(cfg))
    return {".".join(part[:n]) for part in parts for n in range(1, len(part) + 1)}


def _no_such_key(known: Iterable[str], key: str) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=2)
    return f"there is no config key {key}" + (f" (near: {', '.join(near)})" if near else "")


def _reason(cfg: CfgNode, error: Exception) -> str:
    text = str(error.args[0]) if error.args else repr(error)
    if found := _UNKNOWN_KEY.search(text):
        return _no_such_key(_nodes_and_keys(cfg), found[1])
    if found := _OTHER_TYPE.search(text):
        wanted, given, key = found.groups()
        kinds = [_TYPE_NAMES.get(name, f"a {name.rpartition('.')[2]}") for name in (given, wanted)]
        example = dict(flat_keys(cfg)).get(key)
        such_as = f" such as {example!r}" if example is not None else ""
        return f"{key} is given {kinds[0]} and needs {kinds[1]}{such_as}"
    return text
