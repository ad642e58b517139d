"""Gradients of several passes are those of one batch; bfloat16 trains on CPUs."""

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg

from vt_seg import add_vt_seg_config
from vt_seg.data import register_sem_seg, unregister
from vt_seg.engine import Trainer, load_cfg, scale_recipe
from vt_seg.engine.linear_lr_scaling import describe_recipe
from vt_seg.engine.training_step import TrainingStep

COCO = "configs/vtfpn_R50_cocostuff.yaml"


def train(cfg, resume=False, stop=None, dtype=torch.float64):
    """Train in double precision, where rounding does not grow to differences within steps."""
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    trainer.model.to(dtype)
    trainer.model.sem_seg_head.loss.float()  # it gets the logits in float32
    trainer.resume_or_load(resume=resume)
    trainer.max_iter = stop or trainer.max_iter
    trainer.train()
    return trainer


def parameters(trainer):
    return torch.nn.utils.parameters_to_vector(trainer.model.parameters()).detach()


@pytest.fixture
def labelled(tmp_path):
    """Eight images whose every pixel is labelled, so that all batches have as many labels."""
    rng = np.random.default_rng(0)
    for folder, values, shape in (("images", 256, (64, 64, 3)), ("masks", 14, (64, 64))):
        (tmp_path / folder).mkdir()
        for i in range(8):
            cv2.imwrite(f"{tmp_path}/{folder}/{i}.png", rng.integers(0, values, shape, np.uint8))
    classes = [f"class {i}" for i in range(14)]
    register_sem_seg("labelled", tmp_path / "images", tmp_path / "masks", classes)
    yield "labelled"
    unregister("labelled")


def leave_out_labels(root):
    """Ignore everything in most masks, and a part of the others."""
    for i in range(8):
        path = f"{root}/masks/{i}.png"
        mask = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        mask[: (60, 20, 0, 64, 50, 10, 64, 63)[i]] = 255
        cv2.imwrite(path, mask)


def group_norm_cfg(cfg, **solver):
    """Norms that see one image at a time, three iterations of four images, no evaluation."""
    for node in (cfg.MODEL.VT_FPN, cfg.MODEL.SEM_SEG_HEAD):
        node.NORM = "GN"
    channels = {"STEM_OUT_CHANNELS": 32, "RES2_OUT_CHANNELS": 64, "WIDTH_PER_GROUP": 32}
    cfg.MODEL.RESNETS.merge_from_list([x for pair in channels.items() for x in pair])
    cfg.MODEL.RESNETS.NORM = "GN"
    cfg.DATASETS.TEST = ()
    solver = {"MAX_ITER": 3, "BASE_LR": 0.01, **solver}
    cfg.SOLVER.merge_from_list([x for pair in solver.items() for x in pair])
    return cfg


@pytest.mark.parametrize("passes", [2, 4])
def test_passes_have_the_gradients_of_the_whole_batch(slim_cfg, tmp_path, labelled, passes):
    cfg = group_norm_cfg(slim_cfg)
    cfg.DATASETS.TRAIN = (labelled,)
    expected = parameters(train(cfg))
    cfg.SOLVER.ACCUMULATE, cfg.OUTPUT_DIR = passes, str(tmp_path / "passes")
    trainer = train(cfg)
    assert len(next(iter(trainer.data_loader))) == 4 // passes
    torch.testing.assert_close(parameters(trainer), expected, rtol=0, atol=1e-5)
    torch.manual_seed(0)
    change = parameters(Trainer(cfg)).double() - expected
    assert change.abs().max() > 1e-3
    assert trainer.iter == 3


@pytest.mark.parametrize("class_weights", [(), tuple(range(1, 15))])
def test_passes_weigh_as_much_as_their_labelled_pixels(slim_cfg, tmp_path, labelled, class_weights):
    leave_out_labels(tmp_path)
    cfg = group_norm_cfg(slim_cfg, MAX_ITER=1)
    cfg.DATASETS.TRAIN = (labelled,)
    cfg.MODEL.SEM_SEG_HEAD.LOSS.CLASS_WEIGHTS = class_weights
    whole = train(cfg)
    cfg.SOLVER.ACCUMULATE, cfg.OUTPUT_DIR = 4, str(tmp_path / "passes")
    trainer = train(cfg)
    torch.testing.assert_close(parameters(trainer), parameters(whole), rtol=0, atol=1e-6)
    loss = [one.storage.latest()["total_loss"][0] for one in (whole, trainer)]
    assert loss[0] == pytest.approx(loss[1], rel=1e-6)


def test_passes_without_a_labelled_pixel_weigh_the_same():
    records = [{"sem_seg": torch.full((2, 2), 255)}] * 2
    step = TrainingStep(torch.nn.Linear(1, 1), [], None, ignore_value=255)
    assert step._shares([records, records]) == [0.5, 0.5]


def test_resumed_run_continues_the_order_of_its_passes(slim_cfg, tmp_path, labelled):
    cfg = group_norm_cfg(slim_cfg, ACCUMULATE=2, CHECKPOINT_PERIOD=2, MAX_ITER=4)
    cfg.DATASETS.TRAIN = (labelled,)
    expected = parameters(train(cfg))
    cfg.OUTPUT_DIR = str(tmp_path / "resumed")
    train(cfg, stop=2)
    # Another number of passes is the same batch and the same order.
    cfg.SOLVER.ACCUMULATE = 1
    torch.testing.assert_close(parameters(train(cfg, resume=True)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("processes", "passes"), [(1, 8), (2, 4), (8, 1)])
def test_automatic_passes_leave_a_recipe_unchanged_on_fewer_gpus(processes, passes):
    cfg = load_cfg(COCO, ["SOLVER.ACCUMULATE", "0"])
    scaled = scale_recipe(cfg, processes).SOLVER
    assert passes == scaled.ACCUMULATE
    for key in ("IMS_PER_BATCH", "BASE_LR", "MAX_ITER", "STEPS", "WARMUP_ITERS"):
        assert scaled[key] == cfg.SOLVER[key], key
    assert scaled.IMS_PER_BATCH // (processes * passes) == 4  # as many images at once as on eight


def test_auto_is_a_word_for_automatic_passes(tmp_path):
    assert load_cfg(COCO, ["SOLVER.ACCUMULATE", "auto"]).SOLVER.ACCUMULATE == 0
    (tmp_path / "c.yaml").write_text("SOLVER: {ACCUMULATE: auto}\n")
    cfg = load_cfg(str(tmp_path / "c.yaml"))
    assert cfg.SOLVER.ACCUMULATE == 0
    stock = get_cfg()
    add_vt_seg_config(stock)
    stock.merge_from_other_cfg(CfgNode.load_cfg(cfg.dump()))  # a dump has the number
    with pytest.raises(ValueError, match="ACCUMULATE is given a text and needs a whole number"):
        load_cfg(COCO, ["SOLVER.ACCUMULATE", "always"])


def test_automatic_passes_on_more_gpus_scale_the_recipe():
    cfg = load_cfg(COCO, ["SOLVER.ACCUMULATE", "0"])
    scaled = scale_recipe(cfg, 16).SOLVER
    assert (scaled.ACCUMULATE, scaled.IMS_PER_BATCH) == (1, 64)


def test_log_says_how_many_passes():
    cfg = load_cfg(COCO, ["SOLVER.ACCUMULATE", "0"])
    text = describe_recipe(scale_recipe(cfg, 2), 2, 0)
    assert "2 processes (not scaled), batch 32 (16 per process, in 4 passes), base LR" in text


@pytest.mark.parametrize(
    ("overrides", "processes", "message"),
    [
        (["SOLVER.ACCUMULATE", "0", "SOLVER.REFERENCE_WORLD_SIZE", "0"], 1, "that is 0 here"),
        (["SOLVER.ACCUMULATE", "0"], 3, "3 processes cannot share the work of the .* 8"),
        (
            ["SOLVER.ACCUMULATE", "3", "SOLVER.REFERENCE_WORLD_SIZE", "0"],
            1,
            "32 cannot be divided among 1 processes and SOLVER.ACCUMULATE 3 passes: make it a mult",
        ),
    ],
)
def test_batches_that_cannot_be_divided_are_refused(overrides, processes, message):
    with pytest.raises(ValueError, match=message):
        scale_recipe(load_cfg(COCO, overrides), processes)


def test_bfloat16_trains_on_a_cpu(slim_cfg, tmp_path):
    cfg = group_norm_cfg(slim_cfg)
    expected = parameters(train(cfg, dtype=torch.float32))
    cfg.OUTPUT_DIR = str(tmp_path / "bfloat16")
    cfg.SOLVER.AMP.merge_from_list(["ENABLED", True, "DTYPE", "bfloat16"])
    dtypes = set()
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _, out: (
            dtypes.add(out.dtype) if isinstance(module, torch.nn.Conv2d) else None
        )
    )
    try:
        got = parameters(train(cfg, dtype=torch.float32))
    finally:
        hook.remove()
    assert torch.bfloat16 in dtypes
    assert got.dtype == torch.float32
    assert not torch.equal(got, expected)
    change = (got - expected).norm() / expected.norm()
    assert change < 0.05
