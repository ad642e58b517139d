"""Pictures put together keep their content and aspect ratio."""

import numpy as np

from vt_seg.visualization import contact_sheet, side_by_side


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_side_by_side_brings_all_to_one_height():
    row = side_by_side([plain(40, 60, 10), plain(80, 60, 20)], ["image", "prediction"])
    # 32 rows of caption; the first is enlarged to 80 x 120; 8 white columns between.
    assert row.shape == (32 + 80, 120 + 8 + 60, 3)
    assert (row[32:, :120] == 10).all()
    assert (row[:, 120:128] == 255).all()
    assert (row[32:, 128:] == 20).all()
    assert (row[:32, :120] < 128).any()
    assert (row[:32, 128:] < 128).any()


def test_contact_sheet_leaves_missing_places_white():
    sheet = contact_sheet([plain(50, 100, value) for value in (10, 20, 30)], columns=2, width=208)
    assert sheet.shape == (50 + 8 + 50, 208, 3)
    assert (sheet[:50, :100] == 10).all()
    assert (sheet[:50, 108:] == 20).all()
    assert (sheet[58:, :100] == 30).all()
    assert (sheet[58:, 108:] == 255).all()


def test_contact_sheet_of_one():
    assert (contact_sheet([plain(50, 100, 7)], columns=3, width=200) == plain(100, 200, 7)).all()
