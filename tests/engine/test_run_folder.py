"""A run continues from its newest whole checkpoint, and no run overwrites another."""

import os
import shutil
from argparse import Namespace
from functools import partial

import pytest
import torch

from vt_seg.checkpoint import CheckpointError
from vt_seg.engine import Trainer, evaluate, find_weights, load_cfg, setup_cfg
from vt_seg.engine.run_folder import checkpoint_to_resume, keep_earlier_config, refuse_earlier_run

from .conftest import contents, train

NAN = torch.tensor([torch.nan])


def state(size=2, **replaced):
    return {**torch.nn.Linear(3, size).state_dict(), **replaced}


def write(path, iteration, model=None, **more):
    torch.save({"model": model or state(), "trainer": {"iteration": iteration}, **more}, path)


def truncate(path):
    os.truncate(path, os.path.getsize(path) - 100)


@pytest.fixture
def run(tmp_path):
    """Checkpoints after 2, 4 and 6 iterations, and no last_checkpoint."""
    for iteration in (1, 3, 5):
        write(tmp_path / f"model_{iteration:07d}.pth", iteration)
    write(tmp_path / "model_final_ema.pth", 9)  # not one of training, whatever it says
    return tmp_path


def chosen(folder):
    return os.path.basename(checkpoint_to_resume(str(folder), state()))


@pytest.mark.parametrize(
    "hint", [None, "", "model_0000001.pth", "model_0000003.pth\n", "model_0000077.pth", "\udcff"]
)
def test_newest_checkpoint_is_taken_whatever_the_hint(run, hint):
    if hint is not None:
        (run / "last_checkpoint").write_bytes(hint.encode("utf8", "surrogateescape"))
    assert chosen(run) == "model_0000005.pth"


@pytest.mark.parametrize("absolute", [False, True])
def test_hint_cannot_lead_out_of_its_folder(run, log, absolute):
    inner = run / "inner"
    inner.mkdir()
    name = str(run / "model_0000005.pth") if absolute else "../model_0000005.pth"
    (inner / "last_checkpoint").write_text(name)
    assert chosen(inner) == ""
    assert f"last_checkpoint leads out of the folder ({name}) and is ignored" in log.text


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_hint_that_is_no_regular_file_is_ignored(run, log, make):
    hint = run / "last_checkpoint"
    make(hint)
    assert chosen(run) == "model_0000005.pth"
    assert f"last_checkpoint is ignored: {hint} is a" in log.text


def test_tools_find_the_checkpoint_that_resume_continues_from(run):
    """Whatever its name: `find_weights` serves the demo and the token tool."""

    def agree(name):
        assert find_weights(str(run)) == checkpoint_to_resume(str(run), state())
        assert find_weights(str(run)) == str(run / name)

    write(run / "model_final.pth", 3)  # of a run that was finished and continued for longer
    agree("model_0000005.pth")
    write(run / "model_final.pth", 5)
    agree("model_final.pth")
    truncate(run / "model_final.pth")
    agree("model_0000005.pth")
    write(run / "before_the_move.pth", 6)  # a file without a number needs a hint
    agree("model_0000005.pth")
    (run / "last_checkpoint").write_text("before_the_move.pth")
    agree("before_the_move.pth")
    (run / "last_checkpoint").write_text("../model_0000009.pth")
    agree("model_0000005.pth")


def test_checkpoints_are_ordered_by_the_iteration_in_them(run):
    """Names can be longer than seven digits, and files can be renamed."""
    write(run / "model_10000000.pth", 10_000_000)
    assert chosen(run) == "model_10000000.pth"
    write(run / "model_10000000.pth", 4)
    assert chosen(run) == "model_0000005.pth"
    write(run / "model_0000002.pth", 8)
    assert chosen(run) == "model_0000002.pth"
    torch.save(
        {"model": state(), "trainer": {"iteration": 9}},
        run / "model_0000000.pth",
        _use_new_zipfile_serialization=False,
    )  # not mapped, so its name counts
    assert chosen(run) == "model_0000002.pth"


def nested(depth):
    return [nested(depth - 1)] if depth else [NAN]


def test_containers_that_hold_themselves_are_walked_once(run):
    options = {"lr": 0.1}
    options["self"] = options
    many = [torch.ones(1)]
    for _ in range(12):
        many = [many] * 12  # 12 ** 12 ways lead to the tensor
    write(run / "model_0000007.pth", 7, extra=options, many=many)
    assert chosen(run) == "model_0000007.pth"


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[content.index(torch.load(path)["model"]["weight"].numpy().tobytes())] ^= 1
    path.write_bytes(content)


def written(*args, **kwargs):
    return lambda path: write(path, *args, **kwargs)


WITHOUT_TRAINER = {"model": state()}
BEYOND_FLOAT32 = torch.full((2,), 1e300, dtype=torch.float64)
NAN_MOMENTUM = {"state": [{"momentum": NAN}]}

DAMAGES = {
    "nested too deep": (written(5, extra=nested(100)), "is nested in more than 16 containers"),
    "iteration is text": (written("5"), "is no checkpoint of a training"),
    "no trainer": (partial(torch.save, WITHOUT_TRAINER), "is no checkpoint of a training"),
    "list of weights": (written(5, [1]), "has a list in the place of weights by name"),
    "text among weights": (written(5, state(extra="text")), "extra among its weights is a str"),
    "beyond float32": (written(5, state(bias=BEYOND_FLOAT32)), "not finite, first bias"),
    "infinite": (written(5, state(bias=torch.tensor([torch.inf, 0.0]))), "first bias"),
    "momentum is nan": (written(5, optimizer=NAN_MOMENTUM), "first optimizer.state.0.momentum"),
    "truncated": (truncate, "is truncated or damaged: copy or download"),
    "flipped bit": (flip_a_bit, "is truncated or damaged: copy or download"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["model_0000005.pth", "model_final.pth"])
def test_damaged_checkpoint_is_passed_over_and_reported(run, log, damage, name):
    damaging, says = DAMAGES[damage]
    os.rename(run / "model_0000005.pth", run / name)
    (run / "last_checkpoint").write_text(name)
    damaging(run / name)
    assert chosen(run) == "model_0000003.pth"
    (warning,) = {r.getMessage() for r in log.records if "Passed over" in r.getMessage()}
    assert f"{run}/{name}" in warning
    assert says in warning


def test_no_whole_checkpoint_is_an_error(run):
    for iteration in (1, 3, 5):
        truncate(run / f"model_{iteration:07d}.pth")
    before = contents(run)
    for find in (chosen, find_weights):
        with pytest.raises(CheckpointError, match=r"none that is whole \(model_0000005.pth, .*03"):
            find(str(run))
    assert contents(run) == before


def test_checkpoint_of_another_model_is_an_error(run):
    """Not passed over: an older one would be of the other model, too."""
    with pytest.raises(CheckpointError) as error:
        checkpoint_to_resume(str(run), state(size=4))
    assert "model_0000005.pth is of another model: 2 tensors have other shapes" in str(error.value)
    assert "(weight is (2, 3) in it and (4, 3) here)" in str(error.value)
    with pytest.raises(CheckpointError, match=r"1 have no counterpart .bias is in it alone"):
        checkpoint_to_resume(str(run), torch.nn.Linear(3, 2, bias=False).state_dict())


def test_empty_and_missing_folders_have_nothing_to_resume(tmp_path, log):
    assert chosen(tmp_path) == chosen(tmp_path / "missing") == ""
    with pytest.raises(
        FileNotFoundError, match=r"train first, or name a file behind --opts, MODEL.WEIGHTS FILE"
    ):
        find_weights(str(tmp_path))
    (tmp_path / "last_checkpoint").write_text("model_0000003.pth")
    assert chosen(tmp_path) == ""
    assert "last_checkpoint names model_0000003.pth, but there is no checkpoint" in log.text


@pytest.mark.parametrize("name", ["model_0000005.pth", "model_final.pth", "model_final_ema.pth"])
def test_new_run_next_to_checkpoints_is_refused(tmp_path, name):
    refuse_earlier_run(str(tmp_path))
    refuse_earlier_run(str(tmp_path / "missing"))
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileExistsError, match=f"{name}.*--resume.*OUTPUT_DIR FOLDER.*remove"):
        refuse_earlier_run(str(tmp_path))


def arguments(cfg, **given):
    opts = ["OUTPUT_DIR", cfg.OUTPUT_DIR]
    fields = {"eval_only": False, "resume": False, "num_gpus": 0}
    return Namespace(config_file="configs/fpn_R18_scenes.yaml", opts=opts, **{**fields, **given})


def test_refused_run_writes_nothing(slim_cfg, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("model_0000005.pth", "config.yaml", "log.txt", "metrics.json"):
        (folder / name).write_text("of the earlier run")
    before = contents(folder)
    trainer = Trainer(slim_cfg)  # in Python, with resume_or_load or without
    load = partial(trainer.resume_or_load, resume=False)
    for start in (partial(setup_cfg, arguments(slim_cfg)), load, trainer.train):
        with pytest.raises(FileExistsError, match="has checkpoints of an earlier run"):
            start()
        assert contents(folder) == before


def test_config_of_the_earlier_run_is_kept(tmp_path):
    keep_earlier_config(str(tmp_path), "1")
    assert contents(tmp_path) == {}
    for text in ("1", "1", "2", "3"):
        keep_earlier_config(str(tmp_path), text)
        (tmp_path / "config.yaml").write_text(text)
    kept = {"config.1.yaml": b"1", "config.2.yaml": b"2", "config.yaml": b"3"}
    assert contents(tmp_path) == kept


def test_a_run_goes_on_with_its_own_config_file(slim_cfg):
    args = arguments(slim_cfg)
    setup_cfg(args)
    args.config_file = f"{slim_cfg.OUTPUT_DIR}/config.yaml"
    before = load_cfg(args.config_file)
    for args.eval_only, args.resume in ((True, False), (False, True)):
        setup_cfg(args)
        assert load_cfg(args.config_file) == before
    assert [n for n in os.listdir(slim_cfg.OUTPUT_DIR) if "config" in n] == ["config.yaml"]


def test_evaluation_leaves_the_config_of_the_training_alone(scenes_cfg, tmp_path):
    folder = tmp_path / "out"
    args = arguments(scenes_cfg, eval_only=True)
    setup_cfg(args)
    asked = load_cfg(args.config_file, args.opts).dump()
    assert (folder / "config.yaml").read_text() == asked  # of a new folder
    (folder / "config.yaml").unlink()

    setup_cfg(arguments(scenes_cfg))
    trained = (folder / "config.yaml").read_text()
    for size in ("80", "112"):
        args = arguments(scenes_cfg, eval_only=True)
        args.opts += ["INPUT.MIN_SIZE_TEST", size]
        setup_cfg(args)
        asked = load_cfg(args.config_file, args.opts).dump()
        assert (folder / "config.yaml").read_text() == trained
        assert (folder / "inference/config.yaml").read_text() == asked != trained
    assert sorted(path.name for path in folder.glob("*config*")) == ["config.yaml"]


def test_resume_and_evaluation_pass_over_a_damaged_checkpoint(slim_cfg, log):
    """The life of a run whose disk was full: last_checkpoint names what is truncated."""
    cfg = slim_cfg
    cfg.DATASETS.TEST = ()
    cfg.SOLVER.CHECKPOINT_PERIOD = 1
    train(cfg)
    folder = cfg.OUTPUT_DIR
    shutil.copy(f"{folder}/model_0000000.pth", f"{folder}/copy.pth")
    for name in ("model_final", "model_0000001"):
        os.truncate(f"{folder}/{name}.pth", 100_000)

    def resumed():
        log.clear()
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=True)
        return trainer

    trainer = resumed()
    assert f"Resuming from {folder}/model_0000000.pth at iteration 1 of 2." in log.text
    for name in ("model_final", "model_0000001"):
        assert f"Passed over a checkpoint: {folder}/{name}.pth is truncated" in log.text
    trainer.train()
    assert trainer.iter == 2
    resumed()
    assert f"Resuming from {folder}/model_final.pth at iteration 2 of 2." in log.text
    assert "This run is finished: nothing is left to train" in log.text
    os.truncate(f"{folder}/model_final.pth", 100_000)
    evaluate(cfg, resume=True)
    assert f"Evaluating {folder}/model_0000001.pth" in log.text
