"""The right mapper, and an order of images that the seed decides and a resumed run continues."""

from itertools import islice

import pytest
from detectron2.data import DatasetMapper

from vt_seg.data import SemSegMapper
from vt_seg.engine import load_cfg
from vt_seg.engine.data_loaders import (
    SeededTrainingSampler,
    build_mapper,
    build_train_loader,
    continue_order_at,
)


def file_names(loader, num_batches):
    return [[record["file_name"] for record in batch] for batch in islice(loader, num_batches)]


@pytest.mark.parametrize(
    ("config", "choice", "expected"),
    [
        ("fpn_R50_cocostuff", "auto", SemSegMapper),
        ("fpn_R50_cocostuff", "detectron2", DatasetMapper),
        ("panoptic_vtfpn_R50", "auto", DatasetMapper),
        ("panoptic_vtfpn_R50", "vt_seg", SemSegMapper),
    ],
)
def test_mapper(config, choice, expected):
    cfg = load_cfg(f"configs/{config}.yaml", ["INPUT.SEM_SEG_MAPPER", choice])
    assert type(build_mapper(cfg, is_train=False)) is expected


def test_an_unknown_mapper():
    cfg = load_cfg("", ["INPUT.SEM_SEG_MAPPER", "mine"])
    with pytest.raises(ValueError, match='"mine": use "auto", "vt_seg" or "detectron2"'):
        build_mapper(cfg, is_train=True)


def test_keys_that_detectron2s_mapper_would_pass_over_are_refused():
    keys = ["INPUT.PAD_TO", "(8, 8)", "INPUT.COLOR_AUG_SSD", "True"]
    cfg = load_cfg("configs/panoptic_vtfpn_R50.yaml", keys)
    with pytest.raises(
        ValueError, match="INPUT.COLOR_AUG_SSD, INPUT.PAD_TO: unknown .*PanopticFPN"
    ):
        build_mapper(cfg, is_train=True)


def test_the_seed_decides_the_order(scenes_cfg):
    first = file_names(build_train_loader(scenes_cfg), 4)
    assert file_names(build_train_loader(scenes_cfg), 4) == first
    scenes_cfg.SEED = 2
    assert file_names(build_train_loader(scenes_cfg), 4) != first


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_continues_the_order(scenes_cfg, num_workers):
    scenes_cfg.DATALOADER.NUM_WORKERS = num_workers
    scenes_cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    whole = file_names(build_train_loader(scenes_cfg), 6)
    loader = build_train_loader(scenes_cfg)
    continue_order_at(loader, 3 * scenes_cfg.SOLVER.IMS_PER_BATCH)
    assert file_names(loader, 3) == whole[3:]


def test_processes_share_one_order(monkeypatch):
    order = list(islice(SeededTrainingSampler(10, seed=3), 20))
    assert sorted(order[:10]) == list(range(10)) == sorted(order[10:])
    shares = []
    for rank in range(2):
        monkeypatch.setattr("vt_seg.engine.data_loaders.comm.get_rank", lambda rank=rank: rank)
        monkeypatch.setattr("vt_seg.engine.data_loaders.comm.get_world_size", lambda: 2)
        sampler = SeededTrainingSampler(10, seed=3)
        sampler.start = 4
        shares.append(list(islice(sampler, 8)))
    assert [index for pair in zip(*shares, strict=True) for index in pair] == order[4:20]


def test_unseeded_runs_and_other_samplers_are_detectron2s(scenes_cfg):
    scenes_cfg.SEED = -1
    loader = build_train_loader(scenes_cfg)
    # No effect, and no error: there is no order to continue.
    continue_order_at(loader, 8)
    assert len(file_names(loader, 1)[0]) == 4
