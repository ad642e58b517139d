"""The LazyConfig in examples/lazy is the YAML's model, and Detectron2's script can train it."""

from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import LazyConfig, instantiate
from detectron2.engine import SimpleTrainer, default_writers, hooks
from detectron2.engine.defaults import create_ddp_model
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import build_model

import vt_seg
from tests.engine.conftest import scenes_root  # noqa: F401  (a fixture)

FILE = Path(__file__).parents[1] / "examples/lazy/vtfpn_R50_cocostuff.py"


@pytest.fixture
def cfg():
    cfg = LazyConfig.load(str(FILE))
    cfg.train.device = "cpu"
    cfg.model.sem_seg_head.neck.norm = torch.nn.BatchNorm2d  # SyncBN needs several processes
    return cfg


def test_model_and_recipe_are_those_of_the_yaml(cfg):
    yaml = vt_seg.model_zoo.get_config("vtfpn_R50_cocostuff")
    yaml.MODEL.DEVICE, yaml.MODEL.VT_FPN.NORM = "cpu", "BN"
    expected, model = build_model(yaml).eval(), instantiate(cfg.model).eval()
    model.load_state_dict(expected.state_dict())  # which compares names and shapes
    assert {k for k, v in model.named_parameters() if v.requires_grad} == {
        k for k, v in expected.named_parameters() if v.requires_grad
    }
    image = torch.randint(0, 256, (3, 64, 75), dtype=torch.uint8)
    batch = [{"image": image, "height": 64, "width": 75}]
    with torch.no_grad():
        torch.testing.assert_close(model(batch)[0]["sem_seg"], expected(batch)[0]["sem_seg"])

    solver = yaml.SOLVER
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    groups = {(g["lr"], g["weight_decay"], g["momentum"]) for g in optimizer.param_groups}
    assert groups == {(solver.BASE_LR, solver.WEIGHT_DECAY, 0.9), (solver.BASE_LR, 0.0, 0.9)}
    assert cfg.train.max_iter == solver.MAX_ITER
    assert cfg.dataloader.train.total_batch_size == solver.IMS_PER_BATCH
    factor = instantiate(cfg.lr_multiplier)
    steps = (0, solver.WARMUP_ITERS, solver.STEPS[0] + 1, solver.STEPS[1] + 1)
    assert [factor(step / solver.MAX_ITER) for step in steps] == pytest.approx([1e-3, 1, 0.1, 0.01])
    augmentations = cfg.dataloader.train.mapper.augmentations
    assert tuple(augmentations[0].short_edge_length) == yaml.INPUT.MIN_SIZE_TRAIN
    assert cfg.dataloader.test.dataset.names == yaml.DATASETS.TEST[0]


def test_two_steps_and_an_evaluation(cfg, scenes_root, tmp_path):  # noqa: F811
    head, loader = cfg.model.sem_seg_head, cfg.dataloader
    for node in (head, head.loss.cross_entropy, loader.train.mapper, loader.test.mapper):
        node.num_classes = 14
    loader.train.dataset.names, loader.test.dataset.names = "vt_scenes_train", "vt_scenes_val"
    loader.train.mapper.augmentations[0].short_edge_length = (64,)
    loader.test.mapper.augmentations[0].short_edge_length = 64
    loader.train.total_batch_size, loader.train.num_workers, loader.test.num_workers = 2, 0, 0
    head.neck.config.token_channels = 64
    cfg.train.max_iter, cfg.train.output_dir = 2, str(tmp_path)

    # From here on as Detectron2's tools/lazyconfig_train_net.py.
    model = instantiate(cfg.model)
    model.to(cfg.train.device)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    train_loader = instantiate(cfg.dataloader.train)
    model = create_ddp_model(model, **cfg.train.ddp)
    trainer = SimpleTrainer(model, train_loader, optimizer)
    checkpointer = DetectionCheckpointer(model, cfg.train.output_dir, trainer=trainer)
    results = {}

    def test():
        evaluator = instantiate(cfg.dataloader.evaluator)
        results.update(inference_on_dataset(model, instantiate(cfg.dataloader.test), evaluator))
        return results

    trainer.register_hooks(
        [
            hooks.IterationTimer(),
            hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
            hooks.PeriodicCheckpointer(checkpointer, **cfg.train.checkpointer),
            hooks.EvalHook(cfg.train.eval_period, test),
            hooks.PeriodicWriter(default_writers(cfg.train.output_dir, cfg.train.max_iter)),
        ]
    )
    before = {name: value.clone() for name, value in model.named_parameters()}
    trainer.train(0, cfg.train.max_iter)

    moved = {k for k, v in model.named_parameters() if not torch.equal(v, before[k])}
    assert any(name.startswith("sem_seg_head.neck.laterals.0") for name in moved)
    assert not any(name.startswith("backbone.stem") for name in moved)
    assert 0 <= results["sem_seg"]["mIoU"] <= 100
    assert (tmp_path / "model_final.pth").is_file()
