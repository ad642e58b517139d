"""The order of training images and their augmentations: functions of a seed, started anywhere."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .random_state import seeded_sample

Key = tuple[int, int]  # (position in the order over all processes, index of the image)


class SeededOrder(Sampler[Key]):
    """Detectron2's endless shuffled order; process r of n takes the positions r, r + n, ...

    With ``repeat_factors`` ``(size,)`` it is that of Detectron2's ``RepeatFactorTrainingSampler``.

    Attributes:
        size: number of images.
        seed: the same in all processes, >= 0.
        waiting: keys that come first in this process.
        start: positions, over all processes, that were used before training was resumed.
        used: positions from ``start`` on that were used, too, by other numbers of processes.
    """

    def __init__(self, size: int, seed: int, repeat_factors: Tensor | None = None) -> None:
        self.size = size
        self.seed = seed
        self.repeat_factors = repeat_factors
        self.waiting: list[Key] = []
        self.start = 0
        self.used: set[int] = set()

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys of this process."""
        yield from self.waiting
        position, step = comm.get_rank(), comm.get_world_size()
        indices: Sampler[int] = TrainingSampler(self.size, seed=self.seed)
        if self.repeat_factors is not None:
            indices = RepeatFactorTrainingSampler(self.repeat_factors, seed=self.seed)
        for index in indices:
            if position >= self.start and position not in self.used:
                yield position, index
            position += step


class SeededSamples(Dataset):
    """The mapped records of a dataset, by the keys of a :class:`SeededOrder`."""

    def __init__(
        self, records: Sequence[dict], mapper: Callable[[dict], dict], order: SeededOrder
    ) -> None:
        self.records = records
        self.mapper = mapper
        self.order = order

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: Key) -> dict:
        """Return the record of a key, augmented as its position decides."""
        position, index = key
        with seeded_sample(self.order.seed, position):
            return self.mapper(self.records[index])


class AspectRatioBatches:
    """Batches of landscapes and batches of other images, as Detectron2's, which can be resumed.

    Detectron2 loses the images that wait for their batch when training stops. The loader's sampler
    is a :class:`SeededOrder`.
    """

    def __init__(self, loader: DataLoader, batch_size: int) -> None:
        self.loader = loader
        self.batch_size = batch_size
        assert isinstance(loader.sampler, SeededOrder)
        self._order = loader.sampler
        self._waiting: list[Key] | None = None  # until it is iterated
        self._next = 0

    def __iter__(self) -> Iterator[list[dict]]:
        """Yield batches."""
        order = self._order
        self._waiting, self._next = [], order.start
        buckets: dict[bool, list[tuple[Key, dict]]] = {True: [], False: []}
        # A loader keeps the order of its sampler, with any number of workers.
        for key, sample in zip(order, self.loader, strict=False):
            self._next = max(self._next, key[0] + comm.get_world_size() - comm.get_rank())
            bucket = buckets[sample["width"] > sample["height"]]
            bucket.append((key, sample))
            if len(bucket) == self.batch_size:
                batch = [sample for _, sample in bucket]
                bucket.clear()
                self._waiting = sorted(key for kept in buckets.values() for key, _ in kept)
                yield batch

    def order_state(self) -> dict[str, Any]:
        """Return what is read and not yet used, and what comes next.

        "waiting" are the keys that wait for their batch, "next" is the next position, and "used"
        are the positions behind it that a resumed run leaves out.
        """
        used = sorted(self._order.used)
        if self._waiting is None:
            return {"waiting": self._order.waiting, "next": self._order.start, "used": used}
        return {"waiting": self._waiting, "next": self._next, "used": used}


def seeded_order(loader: Any) -> SeededOrder | None:
    """Return the order of a training loader; None if it has one of Detectron2's own."""
    loader = loader.loader if isinstance(loader, AspectRatioBatches) else loader
    sampler = getattr(loader, "sampler", None)
    return sampler if isinstance(sampler, SeededOrder) else None


def continue_order(
    loader: Any, num_images: int, states: Sequence[dict[str, Any] | None] = ()
) -> None:
    """Let a training loader that is not yet iterated, and has a seeded order, continue a run.

    ``num_images`` were used already, over all processes. ``states`` are those of
    `AspectRatioBatches.order_state` of all processes; without them, aspect ratio grouping continues
    near the place. If there were more processes or fewer, images that waited for their batch are
    dealt out to those that there are now, and each image is still used once.
    """
    order = seeded_order(loader)
    if order is None:
        return
    order.start, order.waiting, order.used = num_images, [], set()
    if not isinstance(loader, AspectRatioBatches) or not states or None in states:
        return
    known = [state for state in states if state is not None]
    rank, world_size = comm.get_rank(), comm.get_world_size()
    if len(known) == world_size:
        state = known[rank]
        order.start, order.waiting = state["next"], [tuple(key) for key in state["waiting"]]
        order.used = set(state.get("used", ()))
        return
    waiting = sorted(tuple(key) for state in known for key in state["waiting"])
    order.waiting = waiting[rank::world_size]
    # Process r of n used its positions r, r + n, ... below its own "next".
    ends = [state["next"] for state in known]
    order.start = min(ends)
    order.used = {p for p in range(order.start, max(ends)) if p < ends[p % len(known)]}
    order.used.update(*(state.get("used", ()) for state in known))
