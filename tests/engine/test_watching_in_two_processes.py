"""Two processes compute one mIoU and one validation loss, and stop early together."""

import multiprocessing

import cv2
import torch
from detectron2.layers import get_norm
from detectron2.utils import comm

import vt_seg
from data_prep.synthetic.scenes import SceneSet, write_scenes
from tests.small_configs import SLIM, TINY_SCENES
from vt_seg.engine import Trainer, load_cfg
from vt_seg.engine.best_checkpoint import TrainingStoppedEarly
from vt_seg.engine.validation_loss import validation_loss
from vt_seg.modeling import data_parallel

from .test_best_checkpoint import Scored, weights


def scores_of(root):
    """The loss, in all processes, and the mIoU, in the main one, of the main one's statistics."""
    vt_seg.register_all_datasets(root)
    options = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", f"{root}/evaluated"]
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml", [*TINY_SCENES, *SLIM, *options])
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):  # each process has seen other images
            buffer += comm.get_rank()
    miou = Trainer.test(cfg, model).get("sem_seg", {}).get("mIoU")
    return validation_loss(cfg, model)["val"]["loss"], miou


def assert_normalises_bfloat16(rank):
    """Over both processes, though the mean is a hundred times the standard deviation."""
    both = 10 + 0.1 * torch.randn(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    both = both.bfloat16()
    expected = torch.nn.functional.batch_norm(
        both.flatten(0, 1).double(), None, None, training=True
    )
    norm = data_parallel(get_norm("naiveSyncBN", 3))
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(both[rank])
    torch.testing.assert_close(found.double(), expected[4 * rank :][:4], rtol=0, atol=0.01)


def in_each_process(root, folder, rank):
    # A process that was forked must not use the threads of its parent.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    store = f"file://{root}/store"
    torch.distributed.init_process_group("gloo", store, rank=rank, world_size=2)
    comm.create_local_process_group(2)
    assert_normalises_bfloat16(rank)
    scores = scores_of(root)
    trainer = Scored(folder, [1.0, 3.0, 2.0, 2.0, 9.0], patience=2, period=100)
    try:
        trainer.train(0, 5)
    except TrainingStoppedEarly:
        torch.save((scores, trainer.iter), f"{root}/rank{rank}")


def test_two_processes_do_what_one_does(tmp_path):
    """With three images, of which one process gets two; only the main one has the scores."""
    write_scenes(tmp_path / "vt_scenes", SceneSet(train=1, val=3, height=64, width=64))
    folder = tmp_path / "out"
    folder.mkdir()
    context = multiprocessing.get_context("fork")  # which imports nothing again
    arguments = [(str(tmp_path), str(folder), rank) for rank in range(2)]
    processes = [context.Process(target=in_each_process, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    try:
        loss, miou = scores_of(str(tmp_path))
    finally:
        vt_seg.register_all_datasets()
    found = [torch.load(tmp_path / f"rank{rank}") for rank in range(2)]
    assert found == [((loss, miou), 4), ((loss, None), 4)]
    assert weights(folder) == {"model_best.pth": 1, "model_final.pth": 3}
