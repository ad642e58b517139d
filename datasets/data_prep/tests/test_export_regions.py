"""Polygons and run lengths cover the pixels that plain loops find."""

from fractions import Fraction

import numpy as np
import pytest
from pycocotools.mask import decode

from data_prep.exports.regions import polygons, run_lengths
from data_prep.tests import export_files as files
from data_prep.tests.export_files import SIZE


def crosses(point, polygon):
    """Return True if a point lies inside a polygon: edges to its right are counted, exactly."""
    x, y = point
    inside = False
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + Fraction(y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside


def distance(point, polygon):
    point, corners = np.array(point, float), np.array(polygon, float)
    along = np.roll(corners, -1, axis=0) - corners
    share = ((point - corners) * along).sum(1) / np.maximum((along**2).sum(1), 1e-9)
    nearest = corners + np.clip(share, 0, 1)[:, None] * along
    return np.linalg.norm(nearest - point, axis=1).min()


@pytest.mark.parametrize("seed", range(4))
def test_polygon_covers_the_pixels_whose_centres_are_inside(seed):
    """pycocotools rounds to fifths of a pixel: centres closer to an edge are not compared."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radii = rng.uniform(4, 14, 7)
    corners = np.stack([15 + radii * np.cos(angles), 12 + radii * np.sin(angles)], 1).round(3)
    polygon = [tuple(Fraction(str(v)) for v in corner) for corner in corners.tolist()]
    found = decode(polygons([corners.ravel().tolist()], (24, 30), "here"))
    compared = 0
    for row in range(24):
        for column in range(30):
            center = Fraction(2 * column + 1, 2), Fraction(2 * row + 1, 2)
            if distance(center, corners) > 0.3:
                compared += 1
                assert found[row, column] == crosses(center, polygon), (row, column)
    assert compared > 0.8 * found.size
    assert found.sum() > 50


def test_polygon_that_leaves_the_image_is_cut_off():
    found = decode(polygons([[-3, -2, 4, -2, 4, 3, -3, 3]], SIZE, "here"))
    expected = np.zeros(SIZE, np.uint8)
    expected[:3, :4] = 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_give_the_mask_that_was_encoded(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 23)) < (0.5, 0.02, 0.98)[seed]
    for counts in (files.runs(mask), files.compressed(mask)):
        found = run_lengths({"size": [37, 23], "counts": counts}, (37, 23), "here")
        np.testing.assert_array_equal(decode(found), mask)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, 4], "run lengths of 7 pixels, but the image has 80"),
        ([90], "run lengths of 90 pixels"),
        ([100, -20], "run lengths [100, -20], which are damaged"),
        (None, "run lengths None, which are damaged"),
        ("", "run lengths of 0 pixels"),
        ("\x7f", "run lengths with '\\x7f'"),
        ("o", "run lengths that are cut off"),
    ],
)
def test_damaged_run_lengths_are_refused(counts, message):
    with pytest.raises(ValueError, match="here has") as error:
        run_lengths({"size": list(SIZE), "counts": counts}, SIZE, "here")
    assert message in str(error.value)
