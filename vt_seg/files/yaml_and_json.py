"""YAML and JSON as data: no tag runs code, no key is lost, and errors name the file and line."""

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

_UNKNOWN_TAG = re.compile(r"could not determine a constructor for the tag '(.+)'")
_YAML_TAGS = "tag:yaml.org,2002:"
_YAML_FIXES = {
    "'\\t'": "indent with spaces, not with tabs",
    "found '-'": "write KEY: VALUE, and indent the items of a list below their key",
    "mapping values are not": "indent the keys of one node alike, put texts with a colon in quotes",
    "find expected ':'": "write KEY: VALUE on a line of its own",
    "expected ','": "close the bracket, put a text with a colon in quotes",
    "unexpected end of stream": "close the quotes",
    "another document": "keep one of the documents that --- separates",
    "an alias": "write the value out",
}


class DataError(ValueError):
    """Says in a sentence, which names the file, what is wrong with its YAML or JSON."""


def parse_json(text: str, source: str) -> Any:
    """Return what a text in JSON holds; raise `DataError`, also for a key that is given twice."""

    def unrepeated(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(found := dict(pairs)) < len(keys):
            twice = next(key for key in found if keys.count(key) > 1)
            raise DataError(f"{source} has the key {twice!r} twice: keep one")
        return found

    try:
        return json.loads(text, object_pairs_hook=unrepeated)
    except json.JSONDecodeError as error:
        where = f"{source}, line {error.lineno}"
        raise DataError(
            f"{where} is not JSON: {error.msg}; correct it or export it again"
        ) from error
    except RecursionError as error:
        raise DataError(f"{source} nests too deeply") from error
    except DataError:
        raise
    except ValueError as error:  # a number of 5000 digits
        raise DataError(f"{source} is not JSON: {error}") from error


def parse_yaml(text: str, source: str, *, aliases: bool = False) -> Any:
    """Return what a text of one document in YAML holds, as ``yaml.safe_load`` does.

    ``source`` is the file's name, for messages. With ``aliases``, aliases (``*``) are taken, which
    can stand for huge or endless values.

    Raises:
        DataError: if it is not YAML, gives a key twice, or has tags that make Python objects.
    """
    try:
        loader = _SafeLoader(text)  # which refuses control characters
        loader.name, loader.takes_aliases = source, aliases
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}, line {mark.line + 1}" if mark else source
        if tag := _UNKNOWN_TAG.search(error.problem or ""):
            raise DataError(
                f"{where}: the tag {tag[1].replace(_YAML_TAGS, '!!')} is refused: texts, numbers, "
                "lists and mappings alone are read, as tags that make Python objects can run code"
            ) from error
        problem = f"{error.problem} ({error.context})" if error.context else error.problem
        fixes = (fix for part, fix in _YAML_FIXES.items() if part in f"{problem}")
        fix = next(fixes, "correct that line, or put its text in quotes")
        raise DataError(f"{where} is not YAML: {problem}; {fix}") from error
    except RecursionError as error:
        raise DataError(f"{source} nests too deeply") from error
    except yaml.YAMLError as error:
        raise DataError(f"{source} is not YAML: {error}") from error


class _SafeLoader(yaml.SafeLoader):
    takes_aliases = False

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if not self.takes_aliases and self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "found an alias (*)", mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except DataError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # The constructors of "!!timestamp x" and others raise whatever Python does.
            problem = f"{str(node.value)[:60]!r} is no {node.tag.removeprefix(_YAML_TAGS)}"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in first:
                raise DataError(
                    f"{self.name}, line {line}: {key.value} was given in line {first[key.value]}, "
                    "too, so that one of them would not count: keep one"
                )
            first[key.value] = line
        return super().construct_mapping(node, deep)
