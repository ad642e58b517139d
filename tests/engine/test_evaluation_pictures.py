"""Predictions and confusion matrices reach TensorBoard and the loggers."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.events import EventStorage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vt_seg.engine import Trainer
from vt_seg.engine.evaluation_pictures import EvaluationPictures, draw_prediction

from .conftest import train


def test_pictures_of_a_training(slim_cfg, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    slim_cfg.merge_from_list(["TEST.PICTURES", 1, "TEST.EVAL_PERIOD", 1, "LOGGERS", ["mlflow"]])
    slim_cfg.SOLVER.EMA.ENABLED = True
    train(slim_cfg)
    events = EventAccumulator(slim_cfg.OUTPUT_DIR).Reload()
    names = {f"{kind}{suffix}" for kind in ("predictions", "confusion_matrix") for suffix in EMA}
    tags = set(events.Tags()["images"])
    assert tags == {name + ("/0" if "predictions" in name else "") for name in names}
    assert [image.step for image in events.Images("predictions/0")] == [0, 2]
    shown = cv2.imdecode(
        np.frombuffer(events.Images("confusion_matrix")[-1].encoded_image_string, np.uint8), 1
    )
    written = cv2.imread(f"{slim_cfg.OUTPUT_DIR}/inference/sem_seg_confusion.png")
    assert np.array_equal(shown, written)
    assert "images_per_second" not in events.Tags()["scalars"]  # unknown in so short a run
    logged = [path for path in Path(slim_cfg.OUTPUT_DIR, "mlruns").rglob("*.png")]
    assert len(logged) == 8
    statuses = [path.read_text() for path in Path(slim_cfg.OUTPUT_DIR).rglob("meta.yaml")]
    assert any("status: 3" in status for status in statuses)  # FINISHED


EMA = ("", "_EMA")


def test_panels_are_image_truth_and_prediction_of_the_model(slim_cfg):
    model = Trainer.build_model(slim_cfg).train()
    random = torch.get_rng_state()
    with EventStorage(7) as storage:
        EvaluationPictures(slim_cfg, 2).put(model)
        pictures = {name: picture for name, picture, step in storage._vis_data if step == 7}
    assert pictures.keys() == {"predictions/0", "predictions/1"}
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    model.eval()
    record = DatasetCatalog.get("vt_scenes_val")[0]
    image = torch.from_numpy(cv2.imread(record["file_name"]).transpose(2, 0, 1).copy())
    with torch.no_grad():
        labels = model([{"image": image, "height": 64, "width": 64}])[0]["sem_seg"].argmax(0)
    expected = draw_prediction(record, labels.numpy(), MetadataCatalog.get("vt_scenes_val"))
    assert np.array_equal(pictures["predictions/0"], expected.transpose(2, 0, 1))
    panels = np.split(expected[32:, : 3 * 328 - 8], [320, 328, 648, 656], axis=1)[::2]
    enlarged = cv2.resize(cv2.imread(record["file_name"])[..., ::-1], (320, 320))
    assert np.abs(panels[0].astype(int) - enlarged).mean() < 3
    assert not np.array_equal(panels[1], panels[2])


def test_image_that_cannot_be_drawn_is_a_warning(slim_cfg, log):
    pictures = EvaluationPictures(slim_cfg, 1)
    pictures._records["vt_scenes_val"] = [{"file_name": "missing.jpg"}]
    with EventStorage(0) as storage:
        pictures.put(Trainer.build_model(slim_cfg))
        assert storage._vis_data == []
    assert "Pictures of vt_scenes_val could not be drawn: " in log.text


@pytest.mark.parametrize("num", [0, 1])
def test_number_of_pictures(slim_cfg, num):
    slim_cfg.TEST.PICTURES = num
    from vt_seg.engine.evaluation_hooks import loss_and_picture_hooks

    hooks = list(loss_and_picture_hooks(slim_cfg, {"": None}))
    assert len(hooks) == num
    assert not os.path.exists(slim_cfg.OUTPUT_DIR)
