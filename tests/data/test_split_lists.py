"""Lists of the files of a split: columns, headers, comments, encodings."""

import pytest

from vt_seg.data import read_rows, read_split_list


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a\nb\n", [("a",), ("b",)]),
        ("a.jpg m/a.png\nb.jpg  m/b.png \n", [("a.jpg", "m/a.png"), ("b.jpg", "m/b.png")]),
        ("a.jpg\tm/a.png\nb.jpg\tm/b.png", [("a.jpg", "m/a.png"), ("b.jpg", "m/b.png")]),
        ("image,mask\na.jpg,a.png\nb.jpg,b.png", [("a.jpg", "a.png"), ("b.jpg", "b.png")]),
        ("a.jpg; a.png\nb.jpg; b.png", [("a.jpg", "a.png"), ("b.jpg", "b.png")]),
        ('"my a.jpg" "my a.png"\nb.jpg b.png', [("my a.jpg", "my a.png"), ("b.jpg", "b.png")]),
        ("2007_1  1\n2007_2 -1", [("2007_1", "1"), ("2007_2", "-1")]),
        ("my photo.jpg\nyour photo.jpg", [("my photo.jpg",), ("your photo.jpg",)]),
        ("a,1.jpg\nb,2.jpg", [("a,1.jpg",), ("b,2.jpg",)]),
        ("filename\na.jpg\nb.jpg", [("a.jpg",), ("b.jpg",)]),
        ("image\nmask", [("image",), ("mask",)]),
        ("# train\n\n'a.jpg',\n\"b.jpg\"\n", [("a.jpg",), ("b.jpg",)]),
        ("#1.jpg\rb.jpg", [("#1.jpg",), ("b.jpg",)]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows(tmp_path, text, columns, encoding):
    (tmp_path / "x.txt").write_bytes(text.encode(encoding))
    assert [row.columns for row in read_rows(tmp_path / "x.txt")] == columns


def test_rows_know_their_lines(tmp_path):
    (tmp_path / "x.txt").write_text("# train\n\na\nb\n")
    assert read_rows(tmp_path / "x.txt") == [(3, ("a",)), (4, ("b",))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n# nothing\n", "x.txt is empty; it should hold one name a line"),
        ("a.jpg\na.jpg\n", "x.txt names a more than once"),
        ("a.jpg a.png\nb.jpg c.png\n", "x.txt, line 2 pairs b.jpg with c.png"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, text, says):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_split_list(tmp_path / "x.txt")
