"""Predictions and confusion matrices reach TensorBoard and the loggers."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine.hooks import EvalHook
from detectron2.utils.events import EventStorage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vt_seg.data import read_labels
from vt_seg.drawing import draw_comparison
from vt_seg.engine import Trainer, evaluate
from vt_seg.engine.evaluation_pictures import EvaluationPictures
from vt_seg.engine.validation_loss import validation_loss

from .conftest import train


def test_training_writes_pictures_and_losses(slim_cfg, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    slim_cfg.merge_from_list(["TEST.PICTURES", 1, "TEST.EVAL_PERIOD", 1, "TEST.LOSS", True])
    slim_cfg.merge_from_list(["LOGGERS", ["mlflow"], "SOLVER.EMA.ENABLED", True])
    trainer = train(slim_cfg)
    folder = Path(slim_cfg.OUTPUT_DIR)
    events = EventAccumulator(str(folder)).Reload()
    tags = {"predictions/0", "predictions_EMA/0", "confusion_matrix", "confusion_matrix_EMA"}
    assert set(events.Tags()["images"]) == tags
    assert [image.step for image in events.Images("predictions/0")] == [0, 2]
    encoded = np.frombuffer(events.Images("confusion_matrix")[-1].encoded_image_string, np.uint8)
    written = cv2.imread(f"{folder}/inference/sem_seg_confusion.png")
    assert np.array_equal(cv2.imdecode(encoded, cv2.IMREAD_COLOR), written)
    assert len(list(folder.glob("mlruns/**/*.png"))) == 2 * len(tags)
    runs = [path.read_text() for path in folder.glob("mlruns/*/*/meta.yaml")]
    assert ["status: 3" in run for run in runs] == [True]  # FINISHED

    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    losses = {line["iteration"]: line["val/loss"] for line in lines if "val/loss" in line}
    assert losses.keys() == {0, 2}
    assert losses[2] == validation_loss(trainer.cfg, trainer.model)["val"]["loss"]
    assert events.Scalars("val/loss")[-1].value == np.float32(losses[2])
    assert any("val_EMA/loss" in line for line in lines)
    assert evaluate(slim_cfg, resume=True)["val"]["loss"] == losses[2]


def test_panels_are_image_truth_and_prediction_of_the_model(slim_cfg):
    model = Trainer.build_model(slim_cfg).train()
    random = torch.get_rng_state()
    with EventStorage(7) as storage:
        slim_cfg.TEST.PICTURES = 2
        EvaluationPictures(slim_cfg).put(model)
        pictures = {name: picture for name, picture, step in storage._vis_data if step == 7}
    assert pictures.keys() == {"predictions/0", "predictions/1"}
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    model.eval()
    record = DatasetCatalog.get("vt_scenes_val")[0]
    image = torch.from_numpy(cv2.imread(record["file_name"]).transpose(2, 0, 1).copy())
    with torch.no_grad():
        labels = model([{"image": image, "height": 64, "width": 64}])[0]["sem_seg"].argmax(0)
    metadata = MetadataCatalog.get("vt_scenes_val")
    truth = read_labels(record)
    image_rgb = cv2.imread(record["file_name"])[..., ::-1]
    expected = draw_comparison(image_rgb, truth, labels.numpy(), metadata)
    assert np.array_equal(pictures["predictions/0"], expected.transpose(2, 0, 1))
    panels = np.split(expected[-400:, : 3 * 408 - 8], [400, 408, 808, 816], axis=1)[::2]
    upsampled = cv2.resize(image_rgb, (400, 400))
    assert np.abs(panels[0].astype(int) - upsampled).mean() < 3
    assert not np.array_equal(panels[1], panels[2])


def test_image_that_cannot_be_drawn_is_a_warning(slim_cfg, log):
    pictures = EvaluationPictures(slim_cfg)
    pictures._records["vt_scenes_val"] = [{"file_name": "missing.jpg"}]
    with EventStorage(0) as storage:
        pictures.put(Trainer.build_model(slim_cfg))
        assert storage._vis_data == []
    assert "Pictures of vt_scenes_val could not be drawn: " in log.text


@pytest.mark.parametrize("num", [0, 1])
def test_number_of_pictures(slim_cfg, num):
    slim_cfg.TEST.PICTURES = num
    hooks = [hook for hook in Trainer(slim_cfg)._hooks if isinstance(hook, EvalHook)]
    assert len(hooks) == 1 + num
