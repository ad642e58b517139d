"""The writers of W&B and MLflow, with the real libraries in their offline modes."""

import json
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.utils.events import EventStorage

from tests.small_configs import small_cfg
from vt_seg.engine import load_cfg, run_loggers
from vt_seg.engine.run_loggers import LOGGERS, WandbLogger, is_installed
from vt_seg.engine.throughput_printer import ThroughputPrinter
from vt_seg.engine.tolerate_full_disk import TolerantWriter

PICTURE = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(3, 8, 6)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder in which nothing must be written; no settings of this machine's user."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_")):
            monkeypatch.delenv(name)
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR"):  # to be unset after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def cfg(tmp_path):
    return small_cfg("OUTPUT_DIR", str(tmp_path / "my_run"), "SOLVER.BASE_LR", 0.0123)


def log_two_iterations(cfg, name, start=0, is_finished=True):
    """A loss in each of two iterations, and a score and a picture in the last."""
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    writer = LOGGERS[name](cfg, lambda: is_finished)
    with EventStorage(start) as storage:
        for iteration in (start, start + 1):
            storage.iter = iteration
            storage.put_scalar("total_loss", 10.0 + iteration, smoothing_hint=False)
            if iteration == start + 1:
                storage.put_scalar("sem_seg/IoU-a (b), c", 41.5, smoothing_hint=False)
                storage.put_image("predictions/0", PICTURE)
            writer.write()
        storage.clear_images()
        writer.close()


def test_mlflow_run_has_everything_and_is_resumed(cfg, home):
    log_two_iterations(cfg, "mlflow", is_finished=False)
    from mlflow import MlflowClient

    folder = Path(cfg.OUTPUT_DIR)
    client = MlflowClient(tracking_uri=f"file://{folder}/mlruns")
    number = client.get_experiment_by_name("vt_seg").experiment_id
    assert client.search_runs([number])[0].info.status == "KILLED"
    log_two_iterations(cfg, "mlflow", start=2)
    (run,) = client.search_runs([number])
    assert (run.info.run_name, run.info.status) == ("my_run", "FINISHED")
    assert run.data.params["SOLVER.BASE_LR"] == "0.0123"
    assert "SOLVER.MOMENTUM" not in run.data.params  # it has the default
    losses = client.get_metric_history(run.info.run_id, "total_loss")
    assert [(m.step, m.value) for m in losses] == [(i, 10.0 + i) for i in range(4)]
    assert run.data.metrics["sem_seg/IoU-a _b__ c"] == 41.5
    assert "BASE_LR: 0.0123" in next(folder.rglob("config.yaml")).read_text()
    pictures = [cv2.imread(str(path))[..., ::-1] for path in folder.rglob("*.png")]
    assert len(pictures) == 2
    assert all(np.array_equal(picture, PICTURE.transpose(1, 2, 0)) for picture in pictures)
    assert list(home.iterdir()) == []


def test_wandb_run_has_everything_and_is_resumed(cfg, home):
    for start in (0, 2):
        log_two_iterations(cfg, "wandb", start)
    import wandb

    wandb.teardown()  # as at the end of a process, which waits until the files are written
    folder = Path(cfg.OUTPUT_DIR)
    identity = (folder / "WandbLogger.txt").read_text()
    files = sorted(folder.glob(f"wandb/offline-run-*/run-{identity}.wandb"))
    assert len(files) == 2  # of one run, which `wandb sync` puts together
    for start, file in zip((0, 2), files, strict=True):
        content = file.read_bytes()  # records of plain JSON values
        assert b"my_run" in content
        assert b"SOLVER.BASE_LR" in content
        assert b"0.0123" in content
        assert b"sem_seg/IoU-a (b), c" in content
        assert b"41.5" in content
        for iteration in (start, start + 1):
            assert json.dumps(10 + iteration).encode() in content
        (path,) = file.parent.rglob("*.png")
        assert np.array_equal(cv2.imread(str(path))[..., ::-1], PICTURE.transpose(1, 2, 0))
    assert list(home.iterdir()) == []


def test_failing_logger_is_one_warning(cfg, home, log, monkeypatch):
    monkeypatch.setattr(WandbLogger, "_send", lambda *_: 1 / 0)
    writer = TolerantWriter(WandbLogger(cfg, lambda: True), errors=Exception)
    with EventStorage(0) as storage:
        for iteration in range(3):
            storage.iter = iteration
            storage.put_scalar("loss", 1.0)
            writer.write()
        writer.close()
    assert {record.getMessage() for record in log.records} == {
        "WandbLogger cannot write (division by zero): training goes on, its figures may be missing."
    }
    assert writer._is_given_up


def test_missing_or_unknown_logger_is_refused(monkeypatch):
    scenes = "configs/vtfpn_R18_scenes.yaml"
    monkeypatch.setattr(run_loggers.importlib.util, "find_spec", lambda name: None)
    says = "LOGGERS names mlflow, which is not installed: pip install mlflow-skinny"
    with pytest.raises(ValueError, match=says):
        load_cfg(scenes, ["LOGGERS", "('mlflow',)"])
    with pytest.raises(ValueError, match=r'LOGGERS is "wandbs" \(.*wandb.*: use one of wandb, ml'):
        load_cfg(scenes, ["LOGGERS", "['wandbs']"])
    with pytest.raises(ValueError, match=r'LOGGERS is "{.wandb.: 1}": use one of wandb, mlflow'):
        load_cfg(scenes, ["LOGGERS", "[{'wandb': 1}]"])


def test_folder_of_runs_is_no_library(tmp_path, monkeypatch):
    (tmp_path / "wandb_of_a_run").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_installed("wandb_of_a_run")
    assert is_installed("json")


def test_line_of_progress_has_eta_and_images_per_second(caplog):
    logger = logging.getLogger("detectron2.utils.events")
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    writer = ThroughputPrinter(100, 16)
    with EventStorage(0) as storage:
        for iteration, seconds in enumerate([0.5, 0.25, 0.25]):
            storage.iter = iteration
            storage.put_scalars(time=seconds, total_loss=1.0)
        writer.write()
        assert storage.latest()["images_per_second"] == (64.0, 2)
    logger.removeHandler(caplog.handler)
    (line,) = {record.getMessage() for record in caplog.records}
    assert line.startswith(" eta: 0:00:24  iter: 2  total_loss: 1 ")
    assert line.endswith("  images/s: 64")
