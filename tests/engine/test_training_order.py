"""Which images come when, and how they are augmented, follows from the seed alone."""

from collections import defaultdict
from itertools import chain, islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vt_seg.engine.data_loaders import build_train_loader
from vt_seg.engine.training_order import (
    AspectRatioBatches,
    SeededOrder,
    SeededSamples,
    continue_order,
    seeded_order,
)


def batches(loader, num_batches):
    """File names and pixels: what the order decides and what the augmentation does."""
    return [
        [(record["file_name"], record["image"].sum().item()) for record in batch]
        for batch in islice(loader, num_batches)
    ]


@pytest.fixture
def cfg(scenes_cfg):
    """Flips, random sizes and batches of two from eight images."""
    scenes_cfg.INPUT.MIN_SIZE_TRAIN = (48, 56, 64, 72)
    scenes_cfg.SOLVER.IMS_PER_BATCH = 2
    return scenes_cfg


def test_seed_decides_order_and_augmentations(cfg):
    first = batches(build_train_loader(cfg), 8)
    np.random.seed(5)  # what others draw does not matter
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    assert batches(build_train_loader(cfg), 8) == first
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])
    cfg.SEED = 2
    assert batches(build_train_loader(cfg), 8) != first


def test_augmentations_differ_between_epochs(cfg):
    seen = defaultdict(set)
    for name, total in chain(*batches(build_train_loader(cfg), 24)):
        seen[name].add(total)
    assert len(seen) == 8
    assert min(len(totals) for totals in seen.values()) > 1


@pytest.mark.parametrize("grouping", [False, True])
def test_workers_change_nothing(cfg, grouping):
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = grouping
    alone = batches(build_train_loader(cfg), 6)
    for cfg.DATALOADER.NUM_WORKERS in (1, 2):
        assert batches(build_train_loader(cfg), 6) == alone


@pytest.mark.parametrize("num_workers", [0, 2])
def test_order_continues_with_its_augmentations(cfg, num_workers):
    cfg.DATALOADER.NUM_WORKERS = num_workers
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    whole = batches(build_train_loader(cfg), 7)
    loader = build_train_loader(cfg)
    continue_order(loader, 3 * cfg.SOLVER.IMS_PER_BATCH)
    assert batches(loader, 4) == whole[3:]


def draw(record):
    """A mapper: a record's size, and a random number as a transform would draw it."""
    return {**record, "drawn": np.random.random()}


def grouped_loader(sizes, num_workers=0, seed=0):
    records = [{"number": i, "width": w, "height": h} for i, (w, h) in enumerate(sizes)]
    order = SeededOrder(len(records), seed)
    loader = DataLoader(
        SeededSamples(records, draw, order),
        batch_size=None,
        sampler=order,
        num_workers=num_workers,
        collate_fn=lambda sample: sample,
        generator=torch.Generator(),
    )
    return AspectRatioBatches(loader, batch_size=3)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_grouped_order_continues_anywhere(num_workers):
    """Landscapes are rare, so that some wait while many batches go by."""
    sizes = [(3, 2) if i % 5 == 0 else (2, 3) for i in range(16)]
    loader = grouped_loader(sizes, num_workers)
    whole, states = [], []
    for batch in islice(loader, 12):
        assert len({sample["width"] for sample in batch}) == 1
        whole.append(batch)
        states.append(loader.order_state())
    assert any(state["waiting"] for state in states)
    for stop in range(11):
        resumed = grouped_loader(sizes, num_workers if stop == 4 else 0)
        continue_order(resumed, 0, [states[stop]])
        assert resumed.order_state() == states[stop]
        assert list(islice(resumed, 11 - stop)) == whole[stop + 1 :]
        assert resumed.order_state() == states[11]


def test_processes_share_one_order(monkeypatch):
    """Each process has its share of positions and images, and can be continued."""
    keys = list(islice(SeededOrder(10, seed=3), 20))
    assert [position for position, _ in keys] == list(range(20))
    images = [index for _, index in keys]
    assert sorted(images[:10]) == list(range(10)) == sorted(images[10:])
    comm = "detectron2.utils.comm"
    monkeypatch.setattr(f"{comm}.get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(f"{comm}.get_rank", lambda rank=rank: rank)
        assert list(islice(SeededOrder(10, seed=3), 10)) == keys[rank::2]
        order = SeededOrder(10, seed=3)
        order.start = 4
        assert list(islice(order, 8)) == keys[4 + rank :: 2]
        loader, resumed, other = (grouped_loader([(3, 2), (2, 3), (2, 3)] * 3) for _ in range(3))
        first = list(islice(loader, 1))
        continue_order(resumed, 0, [loader.order_state()] * 2)
        assert first + list(islice(resumed, 4)) == list(islice(other, 5))


@pytest.mark.parametrize("world_sizes", [(2, 1, 3), (3, 2, 2, 1), (1, 2, 3)])
def test_another_number_of_processes_uses_each_image_once(monkeypatch, world_sizes):
    """Images that wait for their batch are dealt out, augmented as in one process."""
    sizes = [(3, 2) if i % 5 == 0 else (2, 3) for i in range(16)]
    comm = "detectron2.utils.comm"
    states, used = [], []
    for world_size in world_sizes:
        monkeypatch.setattr(f"{comm}.get_world_size", lambda n=world_size: n)
        before, states = states, []
        for rank in range(world_size):
            monkeypatch.setattr(f"{comm}.get_rank", lambda rank=rank: rank)
            loader = grouped_loader(sizes)
            continue_order(loader, 0, before)
            # As many batches as a process that had stopped in the same iteration.
            used += [sample["drawn"] for batch in islice(loader, 3) for sample in batch]
            states.append(loader.order_state())
    assert len(used) == len(set(used)) == 9 * sum(world_sizes)
    monkeypatch.undo()
    loader = grouped_loader(sizes)
    samples = loader.loader.dataset
    drawn = [samples[key]["drawn"] for key in islice(seeded_order(loader), 200)]
    waiting = {samples[tuple(key)]["drawn"] for state in states for key in state["waiting"]}
    first = min(state["next"] for state in states)
    assert not waiting & set(used)
    assert set(drawn[:first]) <= waiting | set(used) <= set(drawn)


def test_unseeded_runs_have_a_random_seed(cfg):
    cfg.SEED = -1
    first, second = build_train_loader(cfg), build_train_loader(cfg)
    assert seeded_order(first).seed != seeded_order(second).seed
    whole = batches(first, 5)
    seeded_order(second).seed = seeded_order(first).seed
    assert batches(second, 5) == whole


def test_other_samplers_are_detectron2s(cfg):
    cfg.DATALOADER.SAMPLER_TRAIN = "RandomSubsetTrainingSampler"
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.5
    loader = build_train_loader(cfg)
    assert seeded_order(loader) is None
    continue_order(loader, 8)  # no effect, and no error: there is no order to continue
    assert len({name for batch in batches(loader, 8) for name, _ in batch}) == 4
