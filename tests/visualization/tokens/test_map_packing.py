"""Packed maps come back from the bytes of a page."""

import base64
import zlib

import numpy as np
import pytest

from tests.visualization.tokens.synthetic_analyses import level
from vt_seg.visualization.tokens.map_packing import pack_layers, shrink


def unpack(packed, entry):
    """Unpack maps as page_maps.js does."""
    content = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    count, rows, columns = entry["size"]
    steps = content[entry["at"] :][: count * rows * columns].reshape(count, rows, columns)
    low, high = (np.array(entry[key])[:, None, None] for key in ("low", "high"))
    return low + steps / 255 * (high - low)


def test_values_come_back_within_half_a_step():
    one, other = level(), level("res4", 16, heads=1, seed=1)
    packed, ((first, second),), labels = pack_layers([[one, other]], None, 1_000_000)
    attention, reads = one.attention.mean(0), one.reads.mean(0)
    step = attention.max() / 255
    np.testing.assert_allclose(unpack(packed, first["attention"]["mean"]), attention, atol=step / 2)
    step = np.ptp(reads, axis=(1, 2)).max() / 255
    np.testing.assert_allclose(unpack(packed, first["reads"]["mean"]), reads, atol=0.51 * step)
    for head, entry in enumerate(first["reads"]["heads"]):
        step = np.ptp(one.reads[head], axis=(1, 2)).max() / 255
        np.testing.assert_allclose(unpack(packed, entry), one.reads[head], atol=0.51 * step)
    # A single head is its average.
    assert (labels, second["attention"]["heads"]) == (None, None)
    assert second["attention"]["mean"]["size"] == [3, 3, 4]


def test_label_maps_are_packed_in_16_bits():
    labels = np.array([[0, 1], [300, 65535]])
    packed, _, where = pack_layers([[level()]], labels, 1_000_000)
    content = zlib.decompress(base64.b64decode(packed))
    assert where["size"] == [2, 2]
    assert np.frombuffer(content[where["at"] :][:8], "<u2").tolist() == [0, 1, 300, 65535]


def test_large_maps_are_averaged_over_areas():
    maps = np.arange(2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8)
    by_hand = maps.reshape(2, 3, 2, 4, 2).mean((2, 4))
    np.testing.assert_allclose(shrink(maps, 4), by_hand)
    assert shrink(maps, 8) is maps


def test_maps_that_do_not_fit_get_coarser_and_are_refused_at_last():
    random = np.random.default_rng(0)
    noise = level(attention=random.random((4, 3, 96, 128)), reads=None, read_names=())
    fine, ((one,),), _ = pack_layers([[noise]], None, 1_000_000)
    assert one["attention"]["mean"]["size"] == [3, 96, 128]
    assert one["attention"]["heads"][0]["size"] == [3, 48, 64]
    small, ((one,),), _ = pack_layers([[noise]], None, 20_000)
    assert len(small) <= 20_000 < len(fine)
    # 3 * 60 * 80 bytes of noise, 4 / 3 of them in base64.
    assert one["attention"]["mean"]["size"] == [3, 60, 80]
    assert one["attention"]["heads"] is None
    with pytest.raises(ValueError, match="1 VT layers do not fit into a page of 100 bytes"):
        pack_layers([[noise]], None, 100)
