"""A full disk costs figures or a checkpoint, never the training; half a file never stays."""

import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext

import pytest
import torch
from detectron2.utils.events import EventStorage, EventWriter, JSONWriter, TensorboardXWriter

from vt_seg.engine import SegmentationCheckpointer, Trainer
from vt_seg.engine.tolerate_full_disk import TolerantWriter, report_log_errors_once

from .conftest import contents

# TensorBoard writes in a thread, which ends with the error that is looked for.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@contextmanager
def no_file_larger_than(size):
    """As on a disk with ``size`` bytes left: writing more to a file is an OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def write_losses(writer, iterations, full=(), limit=0):
    """Let a writer write once an iteration, on a full disk in those of ``full``."""
    with EventStorage(0) as storage:
        for iteration in range(iterations):
            storage.iter = iteration
            storage.put_scalar("loss", 1.0)
            with no_file_larger_than(limit) if iteration in full else nullcontext():
                writer.write()


def test_metrics_on_a_full_disk_are_one_warning(log):
    writer = TolerantWriter(JSONWriter("/dev/full"))
    write_losses(writer, 3)
    writer.close()
    assert {record.getMessage() for record in log.records} == {
        "JSONWriter cannot write ([Errno 28] No space left on device): training goes on, its "
        "figures may be missing."
    }


def test_metrics_continue_when_there_is_room_again(tmp_path):
    path = tmp_path / "metrics.json"
    writer = TolerantWriter(JSONWriter(str(path)))
    write_losses(writer, 30, full=range(5, 20), limit=150)
    writer.close()
    assert path.read_text().count("\n") == 30
    assert path.read_text().endswith('{"iteration": 29, "loss": 1.0}\n')


def test_tensorboard_is_given_up(tmp_path, log):
    writer = TolerantWriter(TensorboardXWriter(str(tmp_path)))
    write_losses(writer, 3, full=range(3))
    with no_file_larger_than(0):
        writer.close()
    assert len({record.getMessage() for record in log.records}) == 1
    assert len(os.listdir(tmp_path)) == 1


def test_other_errors_of_writers_are_raised():
    class Wrong(EventWriter):
        def write(self):
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        TolerantWriter(Wrong()).write()


def test_log_on_a_full_disk_is_one_line(capfd):
    logger = logging.getLogger("vt_seg")
    with open("/dev/full", "w") as full:
        handlers = [logging.StreamHandler(full), logging.StreamHandler(full)]
        for handler in handlers:
            logger.addHandler(handler)
        report_log_errors_once()
        for number in range(3):
            logger.warning("record %d", number)
        for handler in handlers:
            logger.removeHandler(handler)
        with pytest.raises(OSError, match="No space left"):
            full.flush()
        os.dup2(sys.__stderr__.fileno(), full.fileno())  # what it holds back goes elsewhere
    error = capfd.readouterr().err
    line = "/dev/full cannot be written ([Errno 28] No space left on device): training goes on\n"
    assert error.count(line) == 1
    assert "Traceback" not in error


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_failed_checkpoint_leaves_earlier_files(tmp_path, size):
    model = torch.nn.Linear(100, 100)
    checkpointer = SegmentationCheckpointer(model, str(tmp_path))
    checkpointer.save("model_0000001")
    before = contents(tmp_path)
    torch.nn.init.zeros_(model.weight)
    for name in ("model_0000001", "model_0000003"):
        with pytest.raises(OSError, match="File too large"), no_file_larger_than(size):
            checkpointer.save(name)
    assert contents(tmp_path) == before


@pytest.fixture
def cfg(slim_cfg):
    slim_cfg.DATASETS.TEST = ()
    slim_cfg.SOLVER.MAX_ITER, slim_cfg.SOLVER.CHECKPOINT_PERIOD = 4, 1
    slim_cfg.SOLVER.EMA.ENABLED = True
    return slim_cfg


def trained(cfg, full, limit=100_000):
    """The disk is full after the iterations of ``full``."""

    class FullDisk(Trainer):
        def after_step(self):
            with no_file_larger_than(limit) if self.iter in full else nullcontext():
                return super().after_step()

    trainer = FullDisk(cfg)
    trainer.resume_or_load(resume=True)
    trainer.train()
    return trainer


def checkpoints(cfg):
    """Checkpoints, and what an interrupted writer would leave behind."""
    names = {name for name in os.listdir(cfg.OUTPUT_DIR) if name.startswith((".", "model"))}
    return names - {".training.lock"}


def test_failed_periodic_checkpoint_does_not_stop_training(cfg, log):
    assert trained(cfg, full=(1, 2)).iter == 4
    names = ("0000000", "0000003", "final", "final_ema")
    assert checkpoints(cfg) == {f"model_{name}.pth" for name in names}
    errors = {record.getMessage() for record in log.records if record.levelname == "ERROR"}
    assert all("Training goes on without it" in error for error in errors)
    for number, error in enumerate(sorted(errors), start=1):
        assert f"model_000000{number}.pth could not be written to {cfg.OUTPUT_DIR} (File" in error
    assert len(errors) == 2


def test_failed_final_checkpoint_is_an_error(cfg):
    with pytest.raises(OSError, match=r"model_final.pth could not be written .* Make room"):
        trained(cfg, full=(3,))
    assert checkpoints(cfg) == {f"model_000000{number}.pth" for number in range(3)}
    # With room again, nothing but the last iteration has to be done again.
    trainer = trained(cfg, full=())
    assert (trainer.start_iter, trainer.iter) == (3, 4)
    assert "model_final_ema.pth" in checkpoints(cfg)


def test_evaluation_on_a_full_disk_does_not_stop_training(cfg, log):
    cfg.DATASETS.TEST, cfg.TEST.EVAL_PERIOD = ("vt_scenes_val",), 2
    cfg.SOLVER.CHECKPOINT_PERIOD = 100
    trainer = trained(cfg, full=(1,), limit=100)
    assert trainer.iter == 4
    assert trainer._last_eval_results["sem_seg"]
    assert "An evaluation's files could not be written ([Errno 27] File too large: " in log.text


def test_full_stderr_does_not_stop_training():
    """The report of log errors goes to stderr, which may be a file on the full disk."""
    code = """
import logging, os, resource, signal, sys
from vt_seg.engine.tolerate_full_disk import report_log_errors_once
logger = logging.getLogger("vt_seg")
logger.addHandler(logging.StreamHandler(sys.stdout))
report_log_errors_once()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for _ in range(3):
    logger.warning("lost")
os._exit(0)  # without Python's own attempt to flush what cannot be written
"""
    with tempfile.TemporaryFile() as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=full, check=False)
    assert done.returncode == 0
