"""A run is resumed with its own recipe; what may change is logged."""

import pytest

from vt_seg.engine import Trainer, load_cfg
from vt_seg.engine.resume_check import check_same_recipe, log_recipe_changes, recipe_state

from .conftest import train


@pytest.fixture
def cfg():
    return load_cfg("configs/vtfpn_R50_cocostuff.yaml")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["TRAINABLE", "attention"], "SOLVER.TRAINABLE all, this run has attention"),
        (["VT_OPTIMIZER", "AdamW"], "VT_OPTIMIZER SGD, this run has AdamW: resume with"),
        (
            ["IMS_PER_BATCH", 4, "BASE_LR", 0.005],  # as on another number of GPUs
            r"batch 32 and base LR 0.04, this run has batch 4 and base LR 0.005. Resume on as many",
        ),
    ],
)
def test_another_recipe_is_refused(cfg, overrides, says):
    saved = recipe_state(cfg)
    check_same_recipe(saved, cfg)
    cfg.SOLVER.merge_from_list(overrides)
    with pytest.raises(ValueError, match=says):
        check_same_recipe(saved, cfg)


def test_older_checkpoints_are_resumed(cfg):
    """The oldest lack optimizer and frozen weights, later ones call VT_OPTIMIZER OPTIMIZER."""
    oldest = {key: recipe_state(cfg)[key] for key in ("IMS_PER_BATCH", "BASE_LR")}
    check_same_recipe(oldest, cfg)
    cfg.SOLVER.VT_OPTIMIZER = "AdamW"
    older = recipe_state(cfg)
    older["OPTIMIZER"] = older.pop("VT_OPTIMIZER")
    check_same_recipe(older, cfg)
    for saved, name in ((oldest, "SGD"), ({**older, "OPTIMIZER": "RMSProp"}, "RMSProp")):
        with pytest.raises(ValueError, match=f"VT_OPTIMIZER {name}, this run has AdamW: resume"):
            check_same_recipe(saved, cfg)


@pytest.mark.parametrize(
    ("key", "value", "level", "says"),
    [
        ("SEED", 7, "WARNING", "-1, this run has 7: the order of the images goes on with"),
        ("DATASETS.TRAIN", ("a",), "WARNING", "('b',), this run has ('a',): training goes on with"),
        ("SOLVER.STEPS", (5,), "WARNING", "(60000, 80000), this run has (5,): the learning rate"),
        ("SOLVER.MAX_ITER", 10**6, "INFO", "90000, this run has 1000000: training"),
    ],
)
def test_changed_recipe_of_a_resumed_run_is_logged(cfg, log, key, value, level, says):
    cfg.DATASETS.TRAIN = ("b",)
    saved = recipe_state(cfg)
    log_recipe_changes(saved, cfg)
    log_recipe_changes({"IMS_PER_BATCH": 32, "BASE_LR": 0.04}, cfg)  # of an older checkpoint
    assert not log.records
    cfg.merge_from_list([key, value])
    check_same_recipe(saved, cfg)
    log_recipe_changes(saved, cfg)
    (record,) = set(log.records)
    assert record.levelname == level
    assert record.getMessage().startswith(f"The checkpoint was trained with {key} {says}")


def test_trainer_logs_changes_and_refuses_another_recipe(slim_cfg, log):
    slim_cfg.DATASETS.TEST = ()
    train(slim_cfg)
    slim_cfg.SEED, slim_cfg.SOLVER.MAX_ITER = 5, 3
    log.clear()
    train(slim_cfg, resume=True)
    assert "trained with SEED 1, this run has 5" in log.text
    assert "trained with SOLVER.MAX_ITER 2, this run has 3" in log.text
    assert "Evaluation without" not in log.text
    assert "Nothing is evaluated: DATASETS.TEST is empty." in log.text
    slim_cfg.SOLVER.IMS_PER_BATCH = 2
    with pytest.raises(ValueError, match=r"batch 4 and base LR 0.1, this run has batch 2 .* 0.1"):
        Trainer(slim_cfg).resume_or_load(resume=True)
