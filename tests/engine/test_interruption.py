"""SIGTERM and Ctrl-C end training with a checkpoint; processes agree on when."""

import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest
import torch
from detectron2.engine import HookBase, TrainerBase, launch
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from vt_seg.engine import SegmentationCheckpointer, Trainer, interruption
from vt_seg.engine.checkpoint_hook import CheckpointHook
from vt_seg.engine.interruption import (
    InterruptionHook,
    TrainingInterrupted,
    signals_for_children,
    stop_with_parent_only,
)


class Counting(TrainerBase):
    """A trainer that counts, writes checkpoints, and signals itself at an iteration."""

    data_loader = None

    def __init__(self, folder, signals):
        super().__init__()
        self.model = torch.nn.Linear(1, 1)
        self.signals = signals
        self.start_iter = 0
        save = comm.is_main_process()
        checkpointer = SegmentationCheckpointer(self.model, folder, save_to_disk=save, trainer=self)
        checkpoints = CheckpointHook(checkpointer, 1000)
        self.interruption = InterruptionHook(checkpoints)
        self.register_hooks([checkpoints, self.interruption])

    def run_step(self):
        for signum in self.signals.get(self.iter, ()):
            os.kill(os.getpid(), signum)

    def after_step(self):
        super().after_step()
        self.interruption.wait_for_the_iteration()


def saved(folder):
    names = sorted(name for name in os.listdir(folder) if name.endswith(".pth"))
    return {name: torch.load(os.path.join(folder, name), weights_only=True) for name in names}


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_a_checkpoint_and_ends_with_its_code(tmp_path, log, signum, code):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    # `timeout` signals its child and then the whole group of processes.
    trainer = Counting(str(tmp_path), {3: (signum, signum)})
    with pytest.raises(SystemExit) as ended:
        trainer.train(0, 100)
    assert ended.value.code == code
    ((name, content),) = saved(tmp_path).items()
    assert name == "model_0000003.pth"
    assert content["iteration"] == content["trainer"]["iteration"] == 3
    assert f"Stopped by {signum.name} after iteration 3" in log.text
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_checkpoint_of_the_same_iteration_is_not_written_twice(tmp_path):
    trainer = Counting(str(tmp_path), {99: (signal.SIGTERM,)})
    with pytest.raises(TrainingInterrupted):
        trainer.train(0, 100)
    assert list(saved(tmp_path)) == ["model_final.pth"]


def test_failed_checkpoint_is_the_error(tmp_path):
    trainer = Counting(str(tmp_path / "missing"), {3: (signal.SIGTERM,)})
    with pytest.raises(OSError, match=r"model_0000003.pth could not be written .*No such file"):
        trainer.train(0, 100)


def fork(target, *args):
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def test_second_signal_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(interruption, "_SAME_SIGNAL", 0)
    signals = {10: (signal.SIGTERM, signal.SIGTERM)}
    process = fork(lambda: Counting(str(tmp_path), signals).train(0, 10**6))
    process.join(30)
    assert process.exitcode == -signal.SIGTERM
    assert saved(tmp_path) == {}


class Blocking(Dataset):
    """Records which process reads it, then waits for a named pipe that nobody writes to."""

    def __init__(self, folder):
        self.folder = folder
        os.mkfifo(folder / "pipe")

    def __len__(self):
        return 10

    def __getitem__(self, index):
        (self.folder / "part").write_text(str(os.getpid()))
        (self.folder / "part").rename(self.folder / "worker")
        return (self.folder / "pipe").read_text()

    def worker(self):
        """Return the worker's number, once it is waiting."""
        assert becomes_true((self.folder / "worker").exists)
        return int((self.folder / "worker").read_text())


def becomes_true(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.02)
    return condition()


def is_running(pid):
    """Whether a process exists and is no zombie (Linux)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def train_on_blocking(folder, data, deadline):
    interruption._DEADLINE = deadline
    trainer = Counting(folder, {})
    batches = iter(DataLoader(data, num_workers=1, worker_init_fn=stop_with_parent_only))
    trainer.run_step = lambda: next(batches)
    trainer.train(0, 10**6)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_iteration_that_never_ends_is_ended_with_its_workers(tmp_path, signum):
    """SIGTERM takes effect after a deadline; SIGKILL at once, and leaves no blocked worker."""
    data = Blocking(tmp_path)
    process = fork(train_on_blocking, str(tmp_path), data, 0.3)
    worker = data.worker()
    os.kill(process.pid, signum)
    process.join(30)
    assert process.exitcode == -signum
    assert becomes_true(lambda: not is_running(worker))
    assert saved(tmp_path) == {}


def test_evaluation_of_several_processes_outlasts_the_deadline(tmp_path, monkeypatch):
    """Only an iteration can hang; what comes after it has no deadline."""
    monkeypatch.setattr(interruption, "_DEADLINE", 0.1)
    trainer = Counting(str(tmp_path), {})

    class Evaluation(HookBase):
        def after_step(self):
            if self.trainer.iter == 3:
                # As in several processes, where a signal waits for the evaluation.
                trainer.interruption._at_once = False
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.5)

    trainer.register_hooks([Evaluation()])
    with pytest.raises(TrainingInterrupted):
        trainer.train(0, 100)
    assert list(saved(tmp_path)) == ["model_0000004.pth"]


class Slow(Dataset):
    def __len__(self):
        return 10**6

    def __getitem__(self, index):
        time.sleep(0.01)
        return index, os.getpid()


def test_workers_outlive_signals_to_all_but_not_their_parent():
    loader = DataLoader(Slow(), num_workers=2, worker_init_fn=stop_with_parent_only)
    batches = iter(loader)
    workers = {int(next(batches)[1]) for _ in range(4)}
    assert len(workers) == 2
    # From another process than the parent, as a scheduler does it.
    for signum in ("INT", "TERM"):
        os.system(f"kill -{signum} {' '.join(map(str, workers))}")
    assert [int(next(batches)[0]) for _ in range(20)] == list(range(4, 24))
    children = [c for c in multiprocessing.active_children() if c.pid in workers]
    assert len(children) == 2
    for child in children:
        child.terminate()
        child.join(5)
        assert child.exitcode == 0
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        for _ in batches:
            pass


def two_processes(folder, which):
    signals = {5: (signal.SIGTERM,)} if comm.get_rank() == which else {}
    torch.manual_seed(comm.get_rank())
    Counting(folder, signals).train(0, 10**6)


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_stop_after_the_same_iteration(tmp_path, rank):
    """One of two is signalled: both end, one checkpoint has the random states of both."""
    with pytest.raises(SystemExit) as ended, signals_for_children(2):
        launch(two_processes, 2, dist_url="auto", args=(str(tmp_path), rank))
    assert ended.value.code == 143
    ((name, content),) = saved(tmp_path).items()
    assert name == "model_0000005.pth"
    states = content["trainer"]["hooks"]["CheckpointHook"]["processes"]
    assert len(states) == 2
    assert not torch.equal(states[0]["random"]["torch"], states[1]["random"]["torch"])


def run_for_long(folder):
    trainer = Counting(folder, {})
    trainer.run_step = lambda: time.sleep(0.01)
    trainer.train(0, 10**6)


def test_launcher_passes_the_signal_on(tmp_path):
    """The parent of two processes alone is signalled, and ends with the code of their stop."""

    def are_training():
        children = multiprocessing.active_children()
        return len(children) == 2 and all(catches_sigterm(child.pid) for child in children)

    def signal_when_training():
        becomes_true(are_training, 60)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=signal_when_training).start()
    with pytest.raises(SystemExit) as ended, signals_for_children(2):
        launch(run_for_long, 2, dist_url="auto", args=(str(tmp_path),))
    assert ended.value.code == 143
    assert len(saved(tmp_path)) == 1


def catches_sigterm(pid):
    """Whether a process has a SIGTERM handler of its own (Linux)."""
    try:
        with open(f"/proc/{pid}/status") as file:
            (caught,) = [line.split()[1] for line in file if line.startswith("SigCgt")]
    except OSError:
        return False
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_signal_during_an_evaluation_does_not_wait_for_it(slim_cfg):
    cfg = slim_cfg
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD = 4, 2
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    seen = []

    def listen(model, *_):
        if not model.training:
            seen.append(1)
            os.kill(os.getpid(), signal.SIGTERM)

    trainer.model.register_forward_pre_hook(listen)
    with pytest.raises(SystemExit) as ended:
        trainer.train()
    assert ended.value.code == 143
    assert len(seen) == 1
    (name,) = saved(cfg.OUTPUT_DIR)
    assert name == "model_0000001.pth"
    resumed = Trainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 2
    assert resumed.model.training
