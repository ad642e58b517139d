"""The cost of an FPN without padding."""

from research.paper_tables.unpadded_fpn import count_unpadded_fpn
from vt_seg.complexity import count_cost
from vt_seg.engine import load_cfg


def test_cost_agrees_with_arithmetic():
    cost = count_unpadded_fpn(load_cfg("configs/fpn_R50_lip.yaml"), (473, 473))
    places = [119**2, 60**2, 30**2, 15**2]  # ceil(473 / stride)
    laterals = sum(p * c * 256 for p, c in zip(places, (256, 512, 1024, 2048), strict=True))
    assert cost.macs["neck"] == laterals + sum(p * 256 * 256 * 9 for p in places)
    first = sum(p * 256 * 128 * 9 for p in places)
    # A convolution before each further 2x upsampling of res4 (30 to 60) and res5 (15 to 30 to 60).
    more = (60**2 + 30**2 + 60**2) * 128 * 128 * 9
    assert cost.macs["head"] == first + more + places[0] * 128 * 20
    assert cost.size == cost.counted_size == (473, 473)


def test_count_equals_the_ordinary_one_without_padding():
    cfg = load_cfg("configs/fpn_R18_scenes.yaml")
    assert count_unpadded_fpn(cfg, (96, 64)) == count_cost(cfg, (96, 64))
