"""Config files and ``KEY VALUE`` overrides, read safely, with errors that name the place."""

import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager
from fvcore.common.config import BASE_KEY

from vt_seg.files import DataError, parse_yaml, read_text, require_regular_file

from .config import RENAMED_KEYS, WORDS, adopt_renamed_keys, warn_of_renamed_key
from .near_names import near_names

_UNKNOWN_KEY = re.compile(r"Non-existent config key: (.+)")
_OTHER_TYPE = re.compile(
    r"Type mismatch \(<class '([\w.]+)'> vs. <class '([\w.]+)'>\) with values \(.* vs. (.*)\) for "
    r"config key: (\S+)",
    re.DOTALL,
)
_NO_TYPE = re.compile(r"Key (\S+) with value <class '([\w.]+)'> is not a valid type")
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?")
_KEY_AND_VALUE = re.compile(r"([A-Z]\w*(?:\.\w+)*)=(.*)", re.DOTALL)
_NODES = ("vt_seg.config_file._SafeCfgNode", "detectron2.config.config.CfgNode")
_TYPE_NAMES = {
    "str": "a text",
    "float": "a decimal number",
    "int": "a whole number",
    "bool": "True or False",
    "NoneType": "nothing",
    **dict.fromkeys(_NODES, "a node of keys"),
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
    _require_file(path)
    with _errors_in_sentences(cfg, path):
        merged = _SafeCfgNode(cfg)
        merged.merge_from_file(path, allow_unsafe=False)
        cfg.merge_from_other_cfg(merged)


def asked_imports(path: str) -> list[str]:
    """Return ``VT_SEG.IMPORT`` of a YAML file and its ``_BASE_``; errors as `merge_config_file`'s.

    Nothing is imported, and a value that is no list of texts is left to the merge.
    """
    _require_file(path)
    with _errors_in_sentences(CfgNode(), path):
        content = _SafeCfgNode.load_yaml_with_base(path)
    node = content.get("VT_SEG")
    names = node.get("IMPORT") if isinstance(node, Mapping) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    return names


def _require_file(path: str) -> None:
    require_regular_file(path)
    if path.startswith(("http://", "https://")):  # Detectron2's configs refuse them, too
        raise ValueError(f"{path} is an address: download the config, and name its file")
    if not PathManager.isfile(path):
        hint = "" if "." in path else ", nor one of that name (vt-seg configs lists them)"
        raise FileNotFoundError(f"there is no config file {path}{hint}")


def merge_overrides(cfg: CfgNode, overrides: Sequence[Any]) -> None:
    """Merge ``["KEY", "VALUE", ...]`` in place; raise ValueError for wrong pairs, keys or types."""
    known = _nodes_and_keys(cfg)
    for word in map(str, overrides):
        if word == "=":
            raise ValueError(f"{' '.join(map(str, overrides))}: leave out the =")
        if word.startswith("--"):
            raise ValueError(f"{word} stands among the overrides: write it before their first key")
        if (pair := _KEY_AND_VALUE.fullmatch(word)) and pair[1] in known:
            raise ValueError(f"{word} needs a space in place of =, write {pair[1]} {pair[2]}")
    if len(overrides) % 2:
        raise ValueError(
            f"overrides are pairs KEY VALUE, and {overrides[-1]!r} is left over: "
            f"{' '.join(map(str, overrides))}"
        )
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        if key in RENAMED_KEYS:
            warn_of_renamed_key(key, value)
            key = RENAMED_KEYS[key]
        if key not in known and key != BASE_KEY:
            raise ValueError(f"{_shown(key)} {value}: {_no_such_key(known, key)}")
        with _errors_in_sentences(cfg, f"{key} {value}"):
            cfg.merge_from_list([key, WORDS.get((key, value), value)])


def read_yaml(path: str) -> Any:
    """Return one YAML file's content without its ``_BASE_``; errors as `merge_config_file`'s."""
    return parse_yaml(read_text(path), path, aliases=True)


def flat_keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values: ``{"MODEL": {"DEVICE": "cpu"}}`` has ``"MODEL.DEVICE"``."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from flat_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


class _SafeCfgNode(CfgNode):
    """A config that checks each file that it reads, and renames old keys."""

    @classmethod
    def _open_cfg(cls, filename: str) -> IO[str]:
        return io.StringIO(read_text(filename))

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        content = read_yaml(filename)
        if not isinstance(content, dict):
            what = "is empty" if content is None else f"holds a {type(content).__name__}"
            raise DataError(
                f"{filename} {what} and is no mapping of keys to values: write KEY: VALUE lines, "
                "such as OUTPUT_DIR: out"
            )
        for key in _keys_that_are_no_text(content):
            raise DataError(
                f"{filename}: {key!r} stands in the place of a key, which is a text: write KEY: "
                "VALUE, and numbers without commas"
            )
        bases = content.get(BASE_KEY, "")
        names = bases if isinstance(bases, list) else [bases]
        if not all(isinstance(name, str) for name in names):
            raise DataError(f"{filename}: _BASE_ is {bases!r}: name a file, or a list of files")
        if _contains_itself(content, set(), set()):
            raise DataError(
                f"{filename}: a value contains itself by an alias (*) of its own anchor (&): write "
                "the value out"
            )
        merged = super().load_yaml_with_base(filename, allow_unsafe=allow_unsafe)
        try:
            adopt_renamed_keys(merged, content)
        except ValueError as error:
            raise DataError(f"{filename} {error}") from error
        for (key, word), value in WORDS.items():
            node, _, name = key.rpartition(".")
            if isinstance(keys := merged.get(node), dict) and keys.get(name) == word:
                keys[name] = value
        return merged


def _keys_that_are_no_text(content: Mapping[Any, Any], depth: int = 0) -> Iterator[Any]:
    for key, value in content.items():
        if not isinstance(key, str):
            yield key
        elif isinstance(value, dict) and depth < 32:  # it may contain itself
            yield from _keys_that_are_no_text(value, depth + 1)


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
def _errors_in_sentences(cfg: CfgNode, source: str) -> Iterator[None]:
    """Turn what fvcore and yacs raise into sentences that begin with ``source``."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{source}: {error}; correct its _BASE_") from error
    except (DataError, RecursionError) as error:
        if isinstance(error, DataError) and not isinstance(error.__cause__, RecursionError):
            raise
        raise ValueError(
            f"{source}: its _BASE_ files inherit each other in a circle, or values nest too deeply"
        ) from error
    except OSError as error:
        raise OSError(f"{source}: {error}") from error
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: {_reason(cfg, error)}") from error


def _nodes_and_keys(cfg: CfgNode) -> set[str]:
    """Return the dotted names of all keys and of the nodes that hold them."""
    parts = (key.split(".") for key, _ in flat_keys(cfg))
    return {".".join(part[:n]) for part in parts for n in range(1, len(part) + 1)}


def _shown(key: str) -> str:
    return key if key.split() == [key] else repr(key)


def _no_such_key(known: Collection[str], key: str) -> str:
    if key in known:  # of a file, whose keys are not split at dots
        node, _, name = key.rpartition(".")
        return f"{key} is a key below {node}: write {node.replace('.', ': {')}: {{{name}: VALUE" + (
            "}" * (key.count("."))
        )
    return f"there is no config key {_shown(key)}{near_names(key, known)}"


def _reason(cfg: CfgNode, error: Exception) -> str:
    text = str(error.args[0]) if error.args else repr(error)
    if found := _UNKNOWN_KEY.search(text):
        return _no_such_key(_nodes_and_keys(cfg), found[1])
    if found := _OTHER_TYPE.search(text):
        wanted, given, value, key = found.groups()
        kinds = [_TYPE_NAMES.get(name, f"a {name.rpartition('.')[2]}") for name in (given, wanted)]
        return f"{key} is given {kinds[0]} and needs {kinds[1]}{_such_as(cfg, key, wanted, value)}"
    if found := _NO_TYPE.search(text):
        kind = found[2].rpartition(".")[2]
        return f"{found[1]} is given a {kind}, which no key holds: put a text in quotes"
    return text


def _such_as(cfg: CfgNode, key: str, wanted: str, value: str) -> str:
    """Return an example of what a key of the type ``wanted`` needs in place of ``value``."""
    example = dict(flat_keys(cfg)).get(key)
    number = float(value) if _NUMBER.fullmatch(value) else None
    if wanted in _NODES:
        example = next((name for name, _ in flat_keys(cfg) if name.startswith(f"{key}.")), None)
        return f" such as {example}, not {value}" if example else f", not {value}"
    if key == "DATASETS.CUSTOM":
        return " of entries: write [{NAME: ..., IMAGES: ..., MASKS: ..., CLASSES: ...}]"
    if wanted in ("tuple", "list"):
        texts = re.findall(r"[^\s,'\"()\[\]]+", value)
        items = (value,) if number is not None else tuple(texts)
        listed = ", ".join(items if number is not None else map(repr, items))
        comma = f": write ({listed},), with the comma"
        return (comma if len(items) == 1 else f": write ({listed})") if items else " such as ()"
    if wanted == "str":
        return f": write {value} in quotes"
    if wanted == "float" and number is not None and number.is_integer():
        return f": write {number}"
    if wanted == "int" and number is not None and number.is_integer():
        return f": write {int(number)}"
    return f", not {value}" if wanted == "bool" else f" such as {example!r}, not {value}"
