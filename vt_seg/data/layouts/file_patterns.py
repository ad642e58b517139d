"""Patterns of file names, and what they find: a folder and a suffix, or a template."""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from vt_seg.files import FolderFiles, files_in, normalized_name

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MASK_EXTENSIONS = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})
# Files that a template may name although their readers refuse them, with the right reason.
_OTHER_EXTENSIONS = frozenset({".gif", ".npy", ".mat"})
_TOKEN = re.compile(r"\*\*/|\*|\{[^{}/]*\}|[^*{}]+|.")
_EXAMPLE = 'such as "images/**/{id}.jpg"'


class NamedFile(NamedTuple):
    """A file that a pattern finds."""

    path: str  # below the root of the pattern
    folders: tuple[str, ...]  # what the wildcards in the template's folders stand for
    id: str  # what ``{id}`` stands for
    real_path: str  # its path if its folder is no link, to tell whether two patterns find it

    def key(self, with_folders: bool) -> str:
        """Return what an image and its mask have in common: the id, perhaps with the folders."""
        folders = self.folders if with_folders else ()
        return normalized_name("/".join(part for part in (*folders, self.id) if part))


@dataclass(frozen=True)
class FilePattern:
    """Which files below ``root`` are images, or masks."""

    root: str
    below: str  # the template of their paths below the root, without extension
    extensions: frozenset[str]  # in lower case; files with another one do not match
    suffix: str = ""  # ends the name, literally, before the extension

    @classmethod
    def parse(
        cls, text: str | os.PathLike, extensions: Collection[str], suffix: str = ""
    ) -> "FilePattern":
        """Return the pattern of a folder with all its subfolders, or of a template.

        In a template, ``{id}`` is what an image and its mask have in common, ``**/`` any folders,
        ``*`` any part of a name and ``{a,b}`` one of two. A template without extension takes any of
        ``extensions``.

        Raises:
            ValueError: if the template is wrong, or has a suffix as well.
        """
        text = os.path.expanduser(os.fspath(text)).replace(os.sep, "/")
        if "{id}" not in text:
            return cls(text, "**/{id}", frozenset(extensions), suffix)
        if suffix:
            raise ValueError(f'{text} is a template: write the suffix "{suffix}" into it')
        for token in _TOKEN.findall(text):
            if token[0] in "{}" and token != "{id}" and "," not in token:
                raise ValueError(
                    f"{token} in the template {text} is unknown: use {{id}}, {{split}}, {{a,b}}, "
                    f"** and *, {_EXAMPLE}"
                )
        parts = text.split("/")
        if any("**" in part and part != "**" for part in parts) or parts[-1] == "**":
            raise ValueError(f"** in the template {text} must be a folder, {_EXAMPLE}")
        first = next(i for i, part in enumerate(parts) if re.search(r"[*{]", part))
        root = "/".join(parts[:first]) or ("/" if first else ".")
        below = "/".join(parts[first:])
        stem, _, extension = below.rpartition(".")
        named = {f".{one}".lower() for one in extension.strip("{}").split(",")}
        if extension == "*":
            below = stem
        elif stem and named <= IMAGE_EXTENSIONS | _OTHER_EXTENSIONS:
            below, extensions = stem, named
        return cls(root, below, frozenset(extensions))

    @cached_property
    def tokens(self) -> list[tuple[str, bool]]:
        """Return the parts of the template, and whether each is a wildcard in a folder's name."""
        folders, slash, name = self.below.rpartition("/")
        inside = _TOKEN.findall(folders + slash)
        return [
            *((token, token[0] in "*{" and token != "{id}") for token in inside),
            *((token, False) for token in _TOKEN.findall(name)),
        ]

    @property
    def is_folder(self) -> bool:
        """Return True for a folder with all its subfolders, perhaps with a suffix."""
        return self.below == "**/{id}"

    @property
    def num_folder_wildcards(self) -> int:
        """Return how many values `NamedFile.folders` has."""
        return sum(is_folder_wildcard for _, is_folder_wildcard in self.tokens)

    @property
    def num_literal(self) -> int:
        """Return how many characters of the path are fixed, which says how special it is."""
        literal = "".join(token for token, _ in self.tokens if token[0] not in "*{")
        return len(os.path.abspath(self.root)) + len(literal + self.suffix)

    def walk(self) -> FolderFiles:
        """Return the files below the root that have one of the extensions, and all others."""
        return files_in(self.root, self.extensions, below="/" in self.below)

    def files(self, walk: FolderFiles | None = None) -> Iterator[NamedFile]:
        """Yield the files that match, folder by folder, without hidden ones and a system's own.

        ``walk`` is the result of `walk`, if that was called before.

        Raises:
            ValueError: if a name matches in two ways.
        """
        greedy, lazy = re.compile(self._regex("")), re.compile(self._regex("?"))
        id_index = greedy.groupindex["id"] - 1
        real_folder = lru_cache(os.path.realpath)
        for path in (walk or self.walk()).paths:
            below = os.path.relpath(os.path.splitext(path)[0], self.root).replace(os.sep, "/")
            match, other = (regex.fullmatch(below) for regex in (greedy, lazy))
            if match is None or other is None:
                continue
            if match.groups() != other.groups():
                raise ValueError(
                    f'{path} fits the template {self} in two ways, with {{id}} "{match["id"]}" '
                    f'or "{other["id"]}": write out more of the name in place of *'
                )
            values = [value.rstrip("/") for value in match.groups()]
            id_ = values.pop(id_index)
            folder, name = os.path.split(path)
            real_path = os.path.join(real_folder(folder), name)
            yield NamedFile(path, tuple(values), id_, real_path)

    def partner_of(self, file: NamedFile) -> str:
        """Return where the partner of ``file`` is expected, with wildcards where that is open."""
        are_compared = len(file.folders) == self.num_folder_wildcards
        values = iter(file.folders if are_compared else ())
        path = ""
        for token, is_folder_wildcard in self.tokens:
            value = next(values, None) if is_folder_wildcard else None
            if token == "{id}":
                path += file.id
            elif value is None:
                path += token
            else:
                path += f"{value}/" if value and token == "**/" else value
        extension = ".png" if ".png" in self.extensions else min(self.extensions)
        return os.path.join(self.root, path + self.suffix + extension)

    def __str__(self) -> str:
        is_plain = self.is_folder and not self.suffix
        return self.root if is_plain else os.path.join(self.root, self.below + self.suffix)

    def _regex(self, lazy: str) -> str:
        regex = ""
        for token, is_folder_wildcard in self.tokens:
            if token == "{id}":
                regex += "(?P=id)" if "?P<id>" in regex else f"(?P<id>[^/]+{lazy})"
            elif token == "**/":
                regex += f"((?:[^/]+/)*{lazy})"
            elif token[0] in "*{":
                choices = token.strip("{}").split(",")
                value = f"[^/]*{lazy}" if token == "*" else "|".join(map(re.escape, choices))
                regex += f"({value})" if is_folder_wildcard else f"(?:{value})"
            else:
                regex += re.escape(token)
        return regex + re.escape(self.suffix)
