"""Training in this process: the parts are ours, and the log says what happens."""

import json
import os

import numpy as np
import pytest
import torch
from detectron2.evaluation import SemSegEvaluator

from vt_seg.data import read_image
from vt_seg.engine import (
    SegmentationCheckpointer,
    SemSegPredictor,
    Trainer,
    evaluate,
    find_weights,
    load_cfg,
)
from vt_seg.engine.evaluation import tta_model, wants_tta
from vt_seg.evaluation import SegmentationEvaluator
from vt_seg.modeling.label_output import label_output, labels_of


def train(cfg, resume=False):
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def test_start_resume_and_evaluation(scenes_cfg, log):
    cfg = scenes_cfg
    trainer = train(cfg)
    assert "Recipe: 1 process (not scaled), batch 4 (4 per process)" in log.text
    assert "Starting from scratch: random weights, start at iteration 0." in log.text
    assert isinstance(trainer.checkpointer, SegmentationCheckpointer)
    assert trainer.iter == 2
    scores = trainer._last_eval_results["sem_seg"]
    assert {"mIoU", "mIoU-context", "mIoU-local", "IoU-sky"} <= scores.keys()
    assert f"Done: mIoU {scores['mIoU']:.2f} %, weights in {cfg.OUTPUT_DIR}" in log.text

    # The final weights, evaluated anew, give the same figures to the last digit.
    cfg.MODEL.WEIGHTS = find_weights(cfg.OUTPUT_DIR)
    again = evaluate(cfg)["sem_seg"]
    assert again["mIoU"] == scores["mIoU"] and again["pACC"] == scores["pACC"]

    log.clear()
    cfg.SOLVER.MAX_ITER = 3
    resumed = train(cfg, resume=True)
    last = f"{cfg.OUTPUT_DIR}/model_final.pth"
    assert f"Resuming from {last} at iteration 2 of 3." in log.text
    assert resumed.start_iter == 2 and resumed.iter == 3

    log.clear()
    cfg.OUTPUT_DIR = f"{cfg.OUTPUT_DIR}/tuned"
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    assert f"Fine-tuning: weights {last} loaded, start at iteration 0." in log.text
    assert trainer.start_iter == 0


def test_resuming_with_another_batch_or_learning_rate_is_refused(scenes_cfg):
    """As on another number of GPUs: the checkpoint's schedule would go on unscaled."""
    cfg = scenes_cfg
    cfg.DATASETS.TEST = ()
    train(cfg)
    cfg.SOLVER.MAX_ITER = 8
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR = 2, 0.05
    trainer = Trainer(cfg)
    with pytest.raises(ValueError, match=r"batch 4 and base LR 0.1, this run has batch 2 .* 0.05"):
        trainer.resume_or_load(resume=True)


def test_nothing_to_resume(scenes_cfg, log):
    trainer = Trainer(scenes_cfg)
    trainer.resume_or_load(resume=True)
    assert f"Nothing to resume: {scenes_cfg.OUTPUT_DIR} has no checkpoint." in log.text
    assert "Starting from scratch" in log.text


def test_evaluating_random_weights_has_to_be_asked_for(scenes_cfg, log):
    with pytest.raises(ValueError, match="no weights to evaluate: pass MODEL.WEIGHTS <file>, or"):
        evaluate(scenes_cfg)
    evaluate(scenes_cfg, allow_random_weights=True)
    assert "Evaluating RANDOM weights, the scores mean nothing: pass MODEL.WEIGHTS" in log.text


def test_test_time_augmentation_is_a_second_evaluation(scenes_cfg, log):
    """At the end of training and with --eval-only, beside the plain one; the log says so."""
    cfg = scenes_cfg
    cfg.TEST.AUG.ENABLED = True
    cfg.TEST.AUG.MIN_SIZES = (48, 64)
    cfg.SOLVER.MAX_ITER = 1
    train(cfg)
    with open(f"{cfg.OUTPUT_DIR}/metrics.json") as file:
        (written,) = [line for line in map(json.loads, file) if "sem_seg/mIoU" in line]
    cfg.MODEL.WEIGHTS = find_weights(cfg.OUTPUT_DIR)
    log.clear()
    results = evaluate(cfg)
    assert set(results) == {"sem_seg", "sem_seg_TTA"}
    for kind, scores in results.items():
        assert scores["pACC"] == pytest.approx(written[f"{kind}/pACC"])
    assert results["sem_seg"]["pACC"] != results["sem_seg_TTA"]["pACC"]
    assert "without test-time augmentation: one scale, no flip" in log.text
    assert "short sides 48, 64; flip on (no channels swapped); average of the softmax" in log.text
    assert os.path.isdir(f"{cfg.OUTPUT_DIR}/inference_TTA")

    # One view at the test's own size is the plain evaluation.
    cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.FLIP = (64,), False
    results = evaluate(cfg)
    assert results["sem_seg"]["pACC"] == pytest.approx(results["sem_seg_TTA"]["pACC"])


def test_test_time_augmentation_that_cannot_be_is_refused_before_training(scenes_cfg):
    scenes_cfg.TEST.AUG.ENABLED = True
    scenes_cfg.DATASETS.TEST = ("vt_scenes_val", "vt_lip_val")
    with pytest.raises(ValueError, match="different flip_label_pairs.*TEST.AUG.FLIP False"):
        Trainer(scenes_cfg)


def test_models_without_test_time_augmentation(log):
    cfg = load_cfg("configs/panoptic_vtfpn_R50.yaml", ["TEST.AUG.ENABLED", "True"])
    assert not wants_tta(cfg)
    assert "TEST.AUG.ENABLED has no effect on MODEL.META_ARCHITECTURE PanopticFPN" in log.text


@pytest.mark.parametrize(("fixed_size", "canvas"), [((), ()), ((40, 56), ()), ((), (40, 56))])
def test_predictor_sees_what_the_test_loader_gives(scenes_cfg, fixed_size, canvas):
    cfg = scenes_cfg
    cfg.INPUT.FIXED_SIZE = fixed_size
    cfg.INPUT.MIN_SIZE_TEST = 48
    if canvas:
        cfg.INPUT.AFFINE.ENABLED, cfg.INPUT.AFFINE.SIZE = True, canvas
        cfg.MODEL.META_ARCHITECTURE = "UnwarpingSemanticSegmentor"
    predictor = SemSegPredictor(cfg)
    record = next(iter(Trainer.build_test_loader(cfg, "vt_scenes_val")))[0]
    height, width = fixed_size or canvas or (48, 48)
    assert record["image"].shape == (3, height, width)
    with torch.no_grad():
        scores = predictor.model([record])[0]["sem_seg"].argmax(dim=0).numpy()
        with label_output(predictor.model):
            expected = labels_of(predictor.model([record])[0]["sem_seg"]).numpy()

    labels = predictor.predict_labels(read_image(record["file_name"], format="BGR"))
    assert labels.shape == (64, 64)
    assert (labels == expected).all()
    # Logits are interpolated once for labels, and twice for Detectron2's scores.
    assert (labels == scores).mean() > 0.8


def test_another_solver(slim_cfg, log):
    """RMSProp, exponential decay and clipping in one short run of segmentation."""
    cfg = slim_cfg
    cfg.SOLVER.merge_from_list(
        [
            *("VT_OPTIMIZER", "RMSProp", "BASE_LR", 0.01, "MAX_ITER", 6),
            *("LR_SCHEDULER_NAME", "WarmupExponentialLR", "EXPONENTIAL_LR_PERIOD", 2),
            *("CLIP_GRADIENTS.ENABLED", True, "CLIP_GRADIENTS.CLIP_TYPE", "full_model"),
        ]
    )
    cfg.DATASETS.TEST = ()
    trainer = train(cfg)
    assert "device cpu, RMSProp, gradients clipped at 1 (full_model)" in log.text
    assert type(trainer.optimizer) is torch.optim.RMSprop
    # The last two iterations' rate: after two periods of two.
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 0.9875**2)
    gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    assert torch.stack([g.norm() for g in gradients]).norm() <= 1 + 1e-5


@pytest.fixture
def aware_cfg(slim_cfg):
    slim_cfg.MODEL.META_ARCHITECTURE = "PaddingAwareSegmentor"
    return slim_cfg


@pytest.fixture
def outputs_of():
    """From a model to the list of the numbers of dimensions of all that it gives."""

    def listen(model):
        seen = []
        model.register_forward_hook(
            lambda _, args, outputs: seen.extend(output["sem_seg"].ndim for output in outputs)
        )
        return seen

    return listen


@pytest.mark.parametrize("output", ["logits", "labels"])
def test_evaluation_asks_for_labels(aware_cfg, outputs_of, output):
    """Whatever the key says; scores are those of full logits, as here no image is resized."""
    aware_cfg.MODEL.SEM_SEG_HEAD.OUTPUT = output
    model = Trainer.build_model(aware_cfg)
    seen = outputs_of(model)
    scores = Trainer.test(aware_cfg, model)["sem_seg"]
    assert set(seen) == {2} and model.output == output
    aware_cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    stock = Trainer.build_model(aware_cfg)
    stock.load_state_dict(model.state_dict())
    seen = outputs_of(stock)
    expected = Trainer.test(aware_cfg, stock)["sem_seg"]
    assert set(seen) == {3}
    assert scores == pytest.approx(expected, nan_ok=True, abs=0)


def test_averages_are_asked_for_labels_too(aware_cfg, outputs_of, monkeypatch):
    """EMA's model and that with test-time augmentation, which reads logits at their stride."""
    aware_cfg.TEST.AUG.MIN_SIZES = (48, 64)
    model = Trainer.build_model(aware_cfg)
    seen = outputs_of(model)
    assert Trainer.test_with_EMA(aware_cfg, model)["sem_seg_EMA"]
    assert set(seen) == {2}
    seen.clear()
    tta = tta_model(aware_cfg, model)
    seen_of_tta = outputs_of(tta)
    monkeypatch.setattr("vt_seg.engine.trainer.tta_model", lambda *_: tta)
    assert Trainer.test_with_TTA(aware_cfg, model)["sem_seg_TTA"]
    assert not seen and set(seen_of_tta) == {2}


def test_other_evaluators_get_scores(aware_cfg, outputs_of):
    """Detectron2's takes their maximum, and a user's does whatever it does."""
    aware_cfg.DATASETS.TEST = ("vt_scenes_val",)
    model = Trainer.build_model(aware_cfg)
    seen = outputs_of(model)
    ours = Trainer.test(aware_cfg, model)["sem_seg"]["mIoU"]
    assert set(seen) == {2}
    seen.clear()
    theirs = Trainer.test(aware_cfg, model, SemSegEvaluator("vt_scenes_val", False))
    assert set(seen) == {3}
    assert theirs["sem_seg"]["mIoU"] == pytest.approx(ours, abs=1e-9)
    seen.clear()

    class MaximumOfScores(SegmentationEvaluator):
        def process(self, inputs, outputs):
            classes = [{"sem_seg": output["sem_seg"].argmax(0)} for output in outputs]
            super().process(inputs, classes)

    again = Trainer.test(aware_cfg, model, [MaximumOfScores("vt_scenes_val", False)])
    assert set(seen) == {3}
    assert again["sem_seg"]["mIoU"] == ours


def test_an_error_in_an_evaluation_puts_logits_back(aware_cfg):
    class Broken(SegmentationEvaluator):
        def evaluate(self):
            raise ArithmeticError

    aware_cfg.DATASETS.TEST = ("vt_scenes_val",)
    model = Trainer.build_model(aware_cfg)
    with pytest.raises(ArithmeticError):
        Trainer.test(aware_cfg, model, [Broken("vt_scenes_val", False)])
    assert model.output == "logits"


def test_predict_labels_without_scores(aware_cfg, outputs_of):
    """The same labels as the argmax of the scores, where the image is not resized."""
    predictor = SemSegPredictor(aware_cfg)
    seen = outputs_of(predictor.model)
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    labels = predictor.predict_labels(image)
    assert (labels == predictor(image)["sem_seg"].argmax(0).numpy()).all()
    assert labels.shape == (64, 80) and seen == [2, 3]
