"""Outputs get names of their own, and what is there is never overwritten."""

import os

import pytest

from vt_seg.files import output_names, write_atomically

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        ("x/a.jpg y/a.jpg a_2.jpg z/a.png a_2_2.jpg w/a_2.png", "a a_3 a_2 a_4 a_2_2 a_2_3"),
        # A file system may not tell these apart.
        (f"x/A.jpg a.png {COMPOSED}.jpg {DECOMPOSED}.jpg", f"A a_2 {COMPOSED} {DECOMPOSED}_2"),
    ],
)
def test_sources_of_one_name_get_different_names(sources, names):
    assert output_names(sources.split(), "nowhere", [".jpg"]) == names.split()


def test_long_names_are_shortened_but_stay_different():
    names = output_names([f"{'x' * 230}{i}.png" for i in range(12)], "nowhere", [])
    expected = ["x" * 200, "x" * 198 + "_2", "x" * 197 + "_12"]
    assert [names[0], names[1], names[11]] == expected
    assert output_names(["é" * 127 + ".png"], "nowhere", []) == ["é" * 100]  # 2 bytes each


def test_files_of_earlier_runs_keep_their_names(tmp_path):
    for name in ("A_t.png", "a_2_t.html", f"{DECOMPOSED}_t.png", "b_other.png"):
        (tmp_path / name).touch()
    sources = ["a.jpg", f"{COMPOSED}.jpg", "b.jpg"]
    names = output_names(sources, tmp_path, ["_t.png", "_t.html"])
    assert names == ["a_3", f"{COMPOSED}_2", "b"]


def test_ten_thousand_sources_of_one_name_are_named_at_once():
    names = output_names([f"{i}/image.png" for i in range(10_000)], "nowhere", [])
    assert (len(set(names)), names[-1]) == (10_000, "image_10000")


@pytest.mark.parametrize("has_links", [True, False])
def test_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch, has_links):
    if not has_links:  # as exFAT
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no")))
    path = tmp_path / "a.png"
    write_atomically(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError, match=r"a\.png is there already; nothing is overwritten"):
        write_atomically(path, b"second", overwrite=False)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"first", ["a.png"])
    write_atomically(path, b"third")
    assert path.read_bytes() == b"third"
