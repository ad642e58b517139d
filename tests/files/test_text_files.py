"""Text in the encodings of the field: read, or refused with the encoding's name and what to run."""

import subprocess

import pytest

from vt_seg.files import read_text

CHINESE, GERMAN, RUSSIAN = "背景\n猫\n狗\n", "Hintergrund\nStraße\nBäume\n", "ФОН\nмышь\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", [CHINESE, "a\r\nb\r\n", ""])
def test_unicode_is_read(tmp_path, encoding, text):
    (tmp_path / "x.txt").write_bytes(text.encode(encoding))
    assert read_text(tmp_path / "x.txt") == text


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-32-be"])
def test_big_endian_unicode_is_read(tmp_path, encoding):
    (tmp_path / "x.txt").write_bytes(("\ufeff" + CHINESE).encode(encoding))
    assert read_text(tmp_path / "x.txt") == CHINESE


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        (CHINESE, "gbk", "GBK"),
        (GERMAN, "latin-1", "Latin-1"),
        (GERMAN, "cp1252", "Windows-1252"),
        (RUSSIAN, "cp1251", "Windows-1251"),
        ("背景\n猫\n犬\n", "shift_jis", "Shift JIS"),
        (CHINESE, "utf-16-le", "UTF-16LE without a byte order mark"),
        ("a\r\nb\r\n", "utf-16-be", "UTF-16BE without a byte order mark"),
    ],
)
def test_other_encodings_are_named_with_a_command_that_converts(tmp_path, text, encoding, named):
    path = tmp_path / "my list.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(
        ValueError, match=f"my list.txt is not in UTF-8, .*probably in .*{named}"
    ) as e:
        read_text(path)
    subprocess.run(str(e.value).partition("or run ")[2], shell=True, check=True)
    assert (tmp_path / "my list_utf8.txt").read_bytes().decode() == text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfea\0b", "begins as UTF-16 and is damaged or cut off at byte 4"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer: .*git lfs pull"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b"<?xml version='1.0'?>", "an XML file"),
        (b"{\\rtf1\\ansi a}", "an RTF document: save it as plain text"),
        (b"PK\x03\x04\x14", "a ZIP archive, as Excel"),
        (b"%PDF-1.4", "a PDF"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\x80\x02\x01\0\0\0\xff", "is not a text file: give"),
    ],
)
def test_files_that_are_no_text_are_named(tmp_path, content, says):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"x.txt .*{says}"):
        read_text(tmp_path / "x.txt")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*gone.txt"):
        read_text(tmp_path / "gone.txt")
