"""Pictures put together keep their content and aspect ratio."""

import numpy as np
from detectron2.data import Metadata

from vt_seg.drawing import contact_sheet, draw_sem_seg, panels, side_by_side


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


def test_narrow_pictures_do_not_make_a_sheet_endless():
    sheet = contact_sheet([plain(6000, 10, 7), plain(50, 100, 9)], columns=2, width=208)
    assert sheet.shape == (200, 208, 3)
    assert (sheet[:, 0] == 7).all()
    assert (sheet[:, 1:100] == 255).all()


def test_many_pictures_make_several_sheets():
    sheets = panels.ContactSheets(columns=2, width=208)
    made = [sheet for value in range(350) for sheet in sheets.add(plain(100, 100, value % 250))]
    made += sheets.finish()
    assert [len(sheet) for sheet in made] == [148 * 108 - 8, 27 * 108 - 8]
    assert (made[1][0, 0] == 296 % 250).all()
    assert sheets.finish() == []


def test_pictures_stay_within_the_limits_of_their_formats(monkeypatch):
    wide = side_by_side([plain(2, 40_000, 1), plain(4, 40_000, 2)], ["a", "b"])
    assert wide.shape[1] <= panels.MAX_SIDE
    assert panels.within_limits(plain(3, 130_000, 1)).shape == (1, 65_000, 3)
    monkeypatch.setattr(panels, "_MAX_PIXELS", 100)
    assert panels.within_limits(plain(20, 20, 1)).shape == (10, 10, 3)
    assert panels.within_limits(plain(5, 20, 1)).shape == (5, 20, 3)


def test_long_images_are_enlarged_only_as_far_as_files_can_hold_them():
    metadata = Metadata(stuff_classes=["a", "b"], stuff_colors=[(255, 0, 0), (0, 255, 0)])
    sizes = {(4, 2000): (16, 8000), (100, 50): (960, 480), (1, 70_000): (1, 65_000)}
    for size, drawn in sizes.items():
        labels = np.zeros(size, int)
        assert draw_sem_seg(plain(*size, 9), labels, metadata).shape == (*drawn, 3)
