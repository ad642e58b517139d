"""Pictures put together keep their content and aspect ratio."""

import numpy as np

from vt_seg.visualization import contact_sheet, side_by_side


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_side_by_side_brings_all_to_one_height():
    row = side_by_side([plain(40, 60, 10), plain(80, 60, 20)], ["image", "prediction"])
    # 32 rows of caption; the first is upsampled to 80 x 120; 8 white columns between.
    expected = np.hstack([plain(80, 120, 10), plain(80, 8, 255), plain(80, 60, 20)])
    np.testing.assert_array_equal(row[32:], expected)
    for caption in (row[:32, :120], row[:32, 128:]):
        assert (caption < 128).any()


def test_contact_sheet_leaves_missing_places_white():
    sheet = contact_sheet([plain(50, 100, value) for value in (10, 20, 30)], columns=2, width=208)
    gap, below = plain(50, 8, 255), plain(8, 208, 255)
    rows = [
        np.hstack([plain(50, 100, left), gap, plain(50, 100, right)])
        for left, right in ((10, 20), (30, 255))
    ]
    np.testing.assert_array_equal(sheet, np.vstack([rows[0], below, rows[1]]))


def test_contact_sheet_of_one():
    assert (contact_sheet([plain(50, 100, 7)], columns=3, width=200) == plain(100, 200, 7)).all()
