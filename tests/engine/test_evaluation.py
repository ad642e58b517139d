"""Evaluation: optimized models for label maps, plain ones on request, TTA, and the predictor."""

import json
import os

import numpy as np
import pytest
import torch
from detectron2.evaluation import SemSegEvaluator

from vt_seg.data import read_image
from vt_seg.engine import (
    SemSegPredictor,
    Trainer,
    adapt_to_machine,
    evaluate,
    find_weights,
    load_cfg,
)
from vt_seg.engine.adapt_to_machine import FLOAT16_TEST_NOTE
from vt_seg.engine.evaluation import evaluation_autocast, wants_tta
from vt_seg.evaluation import SegmentationEvaluator
from vt_seg.inference import OptimizedSegmentor, SemanticSegmentorWithTTA


@pytest.fixture
def calls(monkeypatch):
    """The names of what optimized models and TTA were asked for, in order."""
    seen = []

    def recorded(method):
        return lambda *args: seen.append(method.__name__) or method(*args)

    for owner in (OptimizedSegmentor, SemanticSegmentorWithTTA):
        for name in ("forward", "predict_labels"):
            monkeypatch.setattr(owner, name, recorded(getattr(owner, name)))
    return seen


@pytest.mark.parametrize("output", ["logits", "labels"])
def test_label_evaluators_get_label_maps_of_the_optimized_model(slim_cfg, calls, output):
    """Scores are those of the plain model's logits, as no image is resized here."""
    slim_cfg.MODEL.META_ARCHITECTURE = "PaddingAwareSegmentor"
    slim_cfg.MODEL.SEM_SEG_HEAD.OUTPUT = output
    model = Trainer.build_model(slim_cfg).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = Trainer.test(slim_cfg, model)["sem_seg"]
    assert set(calls) == {"predict_labels"}
    assert len(calls) == 4
    assert model.training
    assert model.output == output
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    calls.clear()
    slim_cfg.TEST.OPTIMIZE = False
    plain = Trainer.test(slim_cfg, model)["sem_seg"]
    assert not calls
    assert model.training
    assert scores == pytest.approx(plain, nan_ok=True, abs=0.01)  # a pixel of 16384


def test_optimized_weights_are_those_of_the_moment(slim_cfg, calls):
    model = Trainer.build_model(slim_cfg)
    first = Trainer.test(slim_cfg, model)["sem_seg"]
    with torch.no_grad():
        model.sem_seg_head.predictor.bias[3] += 100
    second = Trainer.test(slim_cfg, model)["sem_seg"]
    assert set(calls) == {"predict_labels"}
    assert second["pACC"] != first["pACC"]


def test_model_that_cannot_be_optimized_is_evaluated_as_it_is(slim_cfg, calls, log):
    model = Trainer.build_model(slim_cfg)
    seen = []
    model.register_forward_hook(lambda *_: seen.append(1))
    assert Trainer.test(slim_cfg, model)["sem_seg"]
    assert (len(seen), calls) == (4, [])
    assert "The model is used as it is, not optimized: the model has hooks" in log.text


def test_other_evaluators_get_logits(slim_cfg, calls):
    """Detectron2's takes their maximum; a user's that needs them sets reads_labels to False."""
    model = Trainer.build_model(slim_cfg)
    ours = Trainer.test(slim_cfg, model)["sem_seg"]["mIoU"]
    calls.clear()
    theirs = Trainer.test(slim_cfg, model, SemSegEvaluator("vt_scenes_val", False))
    assert set(calls) == {"forward"}
    assert theirs["sem_seg"]["mIoU"] == pytest.approx(ours, abs=1e-9)

    class ArgmaxOfLogits(SegmentationEvaluator):
        reads_labels = False

        def process(self, inputs, outputs):
            super().process(inputs, [{"sem_seg": out["sem_seg"].argmax(0)} for out in outputs])

    calls.clear()
    again = Trainer.test(slim_cfg, model, [ArgmaxOfLogits("vt_scenes_val", False)])
    assert set(calls) == {"forward"}
    assert again["sem_seg"]["mIoU"] == ours


@pytest.mark.parametrize("optimize", [True, False])
def test_ema_and_tta_evaluators_get_label_maps_too(slim_cfg, calls, optimize):
    slim_cfg.TEST.OPTIMIZE = optimize
    slim_cfg.TEST.AUG.MIN_SIZES = (48, 64)
    model = Trainer.build_model(slim_cfg).train()
    assert Trainer.test_with_EMA(slim_cfg, model)["sem_seg_EMA"]
    assert calls == ["predict_labels"] * 4 * optimize
    calls.clear()
    assert Trainer.test_with_TTA(slim_cfg, model)["sem_seg_TTA"]
    assert calls == ["forward", "predict_labels"] * 4
    assert model.training
    assert model.sem_seg_head.training


def test_evaluations_leave_the_random_states_alone(slim_cfg):
    model = Trainer.build_model(slim_cfg)
    before = torch.get_rng_state()
    next(iter(Trainer.build_test_loader(slim_cfg, "vt_scenes_val")))
    assert not (torch.get_rng_state() == before).all()
    before = torch.get_rng_state()
    assert "sem_seg" in Trainer.test(slim_cfg, model)
    assert "sem_seg_EMA" in Trainer.test_with_EMA(slim_cfg, model)
    assert (torch.get_rng_state() == before).all()


def test_evaluating_random_weights_has_to_be_asked_for(slim_cfg, log):
    with pytest.raises(ValueError, match=r"no weights to evaluate: pass MODEL.WEIGHTS <file>, or"):
        evaluate(slim_cfg)
    evaluate(slim_cfg, allow_random_weights=True)
    assert "Evaluating RANDOM weights, the scores mean nothing: pass MODEL.WEIGHTS" in log.text


def test_tta_is_a_second_evaluation(slim_cfg, log):
    """At the end of training and with --eval-only, after the plain one; the log says so."""
    cfg = slim_cfg
    cfg.TEST.AUG.ENABLED = True
    cfg.TEST.AUG.MIN_SIZES = (48, 64)
    cfg.SOLVER.MAX_ITER = 1
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
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


def test_impossible_tta_is_refused_before_training(scenes_cfg):
    scenes_cfg.TEST.AUG.ENABLED = True
    scenes_cfg.DATASETS.TEST = ("vt_scenes_val", "vt_lip_val")
    with pytest.raises(ValueError, match=r"different flip_label_pairs.*TEST.AUG.FLIP False"):
        Trainer(scenes_cfg)


def test_tasks_without_tta_warn(log):
    cfg = load_cfg("configs/panoptic_vtfpn_R50.yaml", ["TEST.AUG.ENABLED", "True"])
    assert not wants_tta(cfg)
    assert "TEST.AUG.ENABLED has no effect on MODEL.META_ARCHITECTURE PanopticFPN" in log.text


@pytest.mark.parametrize(("fixed_size", "canvas"), [((), ()), ((40, 56), ()), ((), (40, 56))])
def test_predictor_sees_what_the_test_loader_gives(slim_cfg, fixed_size, canvas):
    cfg = slim_cfg
    cfg.INPUT.FIXED_SIZE, cfg.INPUT.MIN_SIZE_TEST = fixed_size, 48
    if canvas:
        cfg.INPUT.AFFINE.ENABLED, cfg.INPUT.AFFINE.SIZE = True, canvas
        cfg.MODEL.META_ARCHITECTURE = "UnwarpingSemanticSegmentor"
    predictor = SemSegPredictor(cfg)
    record = next(iter(Trainer.build_test_loader(cfg, "vt_scenes_val")))[0]
    assert record["image"].shape == (3, *(fixed_size or canvas or (48, 48)))
    (expected,) = predictor.model.predict_labels([record])
    labels = predictor.predict_labels(read_image(record["file_name"], format="BGR"))
    assert labels.shape == (64, 64)
    assert (labels == expected.numpy()).all()


@pytest.mark.parametrize("optimize", [True, False])
def test_predicted_labels_are_the_argmax_of_the_logits(slim_cfg, calls, optimize):
    slim_cfg.TEST.OPTIMIZE = optimize
    predictor = SemSegPredictor(slim_cfg)
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    labels = predictor.predict_labels(image)
    assert (labels == predictor(image)["sem_seg"].argmax(0).numpy()).all()
    assert labels.shape == (64, 80)
    assert calls == ["predict_labels", "forward"] * optimize


class OwnProcess(SegmentationEvaluator):
    """Reads logits, as subclasses could before there were label maps."""

    def process(self, inputs, outputs):
        assert all(output["sem_seg"].ndim == 3 for output in outputs)
        super().process(inputs, outputs)


def test_subclasses_with_their_own_process_get_logits(slim_cfg):
    cfg = slim_cfg
    evaluator = OwnProcess(cfg.DATASETS.TEST[0], distributed=False)
    results = Trainer.test(cfg, Trainer.build_model(cfg), evaluator)
    assert 0 <= results["sem_seg"]["mIoU"] <= 100


@pytest.mark.parametrize("optimize", [True, False])
def test_evaluation_and_prediction_in_bfloat16(slim_cfg, tmp_path, optimize):
    """Convolutions are bfloat16, and what they predict is nearly what float32 predicts."""
    slim_cfg.TEST.OPTIMIZE = optimize
    model = Trainer.build_model(slim_cfg)
    expected = Trainer.test(slim_cfg, model)["sem_seg"]
    slim_cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    torch.save({"model": model.state_dict()}, slim_cfg.MODEL.WEIGHTS)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    labels = SemSegPredictor(slim_cfg).predict_labels(image)
    slim_cfg.TEST.DTYPE = "bfloat16"
    dtypes = set()
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _, out: (
            dtypes.add(out.dtype) if isinstance(module, torch.nn.Conv2d) else None
        )
    )
    try:
        scores = Trainer.test(slim_cfg, model)["sem_seg"]
        assert dtypes == {torch.bfloat16}
        dtypes.clear()
        assert (SemSegPredictor(slim_cfg).predict_labels(image) == labels).mean() > 0.9
        assert dtypes == {torch.bfloat16}
    finally:
        hook.remove()
    assert scores["pACC"] == pytest.approx(expected["pACC"], abs=3)


def test_float16_on_a_cpu_becomes_float32_with_a_note(slim_cfg, log):
    slim_cfg.TEST.DTYPE = "float16"
    model = Trainer.build_model(slim_cfg)
    with evaluation_autocast(slim_cfg, model):
        assert not torch.is_autocast_enabled("cpu")
    assert "TEST.DTYPE float16 -> float32: float16 needs a GPU" in log.text
    assert FLOAT16_TEST_NOTE in adapt_to_machine(slim_cfg, world_size=1, has_gpu=False)
    assert slim_cfg.TEST.DTYPE == "float32"
