"""Text files written by any editor or tool: their encoding is recognised, or named and refused."""

import codecs
import contextlib
import os
import re
import shlex

from .path_checks import read_bytes

# The marks of UTF-32 come first, as that of UTF-16 begins one of them.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# How files begin that are given in place of a text file, and what to do.
_NO_TEXT = (
    (rb"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (rb"\s*(<!doctype html|<html)", "a web page: download the file itself"),
    (rb"\s*<\?xml", "an XML file"),
    (rb"\{\\rtf", "an RTF document: save it as plain text"),
    (rb"PK\x03\x04", "a ZIP archive, as Excel and Word write them: save it as CSV or plain text"),
    (rb"\x1f\x8b", "gzip-compressed: unpack it"),
    (rb"%PDF", "a PDF document"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0{4}|II\*\0|MM\0\*", "an image"),
)


def read_text(path: str | os.PathLike) -> str:
    """Return the content of a text file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, no text, or in another encoding, which is named as far
            as it can be told.
    """
    path = os.path.expanduser(os.fspath(path))
    content = read_bytes(path)
    for start, kind in _NO_TEXT:
        if re.match(start, content, re.IGNORECASE | re.DOTALL):
            raise ValueError(f"{path} is not a text file but {kind}")
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    try:
        text = content.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        if marked:
            raise ValueError(
                f"{path} begins as {marked.upper()} and is damaged or cut off at byte "
                f"{error.start}: write it again"
            ) from error
        text = "\0"
    if "\0" in text:
        raise ValueError(f"{path} {_what_it_is(content, path)}")
    return text


def _what_it_is(content: bytes, path: str) -> str:
    encoding = _likely_encoding(content)
    if encoding is None:
        return "is not a text file: give a text file in UTF-8"
    name, description = encoding
    new = shlex.quote("{}_utf8{}".format(*os.path.splitext(path)))
    return (
        f"is not in UTF-8, but probably in {description}: save it as UTF-8 in an editor, or run "
        f"iconv -f {name} -t UTF-8 {shlex.quote(path)} > {new}"
    )


def _likely_encoding(content: bytes) -> tuple[str, str] | None:
    """Return iconv's name of the likely encoding and a description, or None for binary files."""
    if b"\0" in content:
        # Line breaks and ASCII letters have a zero as the higher of their two bytes.
        zeros = content[::2].count(0), content[1::2].count(0)
        name = "UTF-16LE" if zeros[1] > zeros[0] else "UTF-16BE"
        text = content.decode(name, errors="ignore")
        is_text = text.encode(name) == content and all(c.isprintable() or c.isspace() for c in text)
        return (name, f"{name} without a byte order mark") if is_text else None
    if re.search(rb"[\x01-\x08\x0e-\x1a]", content):
        return None
    runs = re.findall(rb"[\x80-\xff]+", content)
    firsts = [byte for run in runs for byte in run[::2]]
    # The first of the two bytes of a Chinese character is mostly in this range, and the second one
    # in a longer range, while letters of Windows-1251 are all at its end.
    is_chinese = sum(0xB0 <= byte <= 0xD7 for byte in firsts) > len(firsts) / 2
    is_chinese &= any(0xA1 <= byte < 0xC0 for byte in content)
    is_japanese = sum(0x81 <= run[0] <= 0x9F for run in runs) > len(runs) / 2
    candidates = (
        (is_chinese, "GB18030", "GBK (Chinese; Korean EUC-KR and Japanese EUC-JP look alike)"),
        (is_japanese, "CP932", "Shift JIS (Japanese)"),
        (sum(map(len, runs)) > 2 * len(runs), "CP1251", "Windows-1251 (Cyrillic)"),
        (True, "CP1252", "Windows-1252 or Latin-1 (Western European)"),
    )
    for is_likely, name, description in candidates:
        if is_likely:
            with contextlib.suppress(UnicodeDecodeError):
                content.decode(name)
                return name, description
    return None
