"""What the tools do alike at their command line."""

import runpy
from pathlib import Path

import pytest

from vt_seg.command_line import errors_as_messages

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "tools"


@pytest.mark.parametrize("error", [ValueError("a key"), FileNotFoundError("no such file: x")])
def test_what_a_user_got_wrong_is_a_message(error):
    with pytest.raises(SystemExit, match=f"^error: {error}$") as end, errors_as_messages():
        raise error
    assert end.value.__context__ is error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("a bug"), AssertionError()])
def test_other_errors_keep_their_traceback(error):
    with pytest.raises(type(error)), errors_as_messages():
        raise error


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("research/benchmark_evaluation.py", ["--images"]),
        ("research/benchmark_loader.py", ["--passes"]),
        ("research/benchmark_models.py", ["--rounds"]),
        ("research/compare_scenes.py", ["--parallel"]),
        ("research/run_ablations.py", ["--threads"]),
        ("tools/demo.py", ["--config-file", "x.yaml", "--dataset", "x", "--num"]),
        ("tools/validate_dataset.py", ["x", "--num-workers"]),
        ("tools/visualize_data.py", ["--config-file", "x.yaml", "--num"]),
    ],
)
@pytest.mark.parametrize("count", ["0", "-3", "two", "1.5"])
def test_counts_are_at_least_one(monkeypatch, capsys, script, arguments, count):
    monkeypatch.setattr("sys.argv", [script, *arguments[:-1], f"{arguments[-1]}={count}"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert end.value.code == 2
    says = capsys.readouterr().err
    assert f"argument {arguments[-1]}: '{count}' is not a whole number of at least 1" in says


# submit_train.py hands its arguments to train_net.py.
@pytest.mark.parametrize(
    "tool", sorted({path.name for path in TOOLS.glob("*.py")} - {"submit_train.py"})
)
def test_every_tool_imports_modules_before_it_reads_its_config(monkeypatch, tool):
    config = ["--config-file", "configs/vtfpn_R18_scenes.yaml", "--import", "no_such_module"]
    config += ["--input", "a.jpg"] if tool in ("demo.py", "visualize_tokens.py") else []
    config += ["--output", "model.onnx"] if tool == "export_model.py" else []
    monkeypatch.setattr("sys.argv", [tool, *config])
    with pytest.raises(
        SystemExit, match=r"^error: --import no_such_module: there is no such module"
    ):
        runpy.run_path(str(TOOLS / tool), run_name="__main__")


@pytest.mark.parametrize(
    ("tool", "arguments", "key"),
    [
        ("demo.py", ["--input", "a.jpg"], "TEST"),
        ("visualize_tokens.py", ["--input", "a.jpg"], "TEST"),
        ("visualize_data.py", ["--split", "test"], "TEST"),
        ("visualize_data.py", [], "TRAIN"),
    ],
)
def test_a_dataset_that_is_needed_is_asked_for(monkeypatch, tool, arguments, key):
    config = ["--config-file", "configs/vtfpn_R18_scenes.yaml"]
    opts = ["--opts", f"DATASETS.{key}", "()"]
    monkeypatch.setattr("sys.argv", [tool, *config, *arguments, *opts])
    with pytest.raises(SystemExit, match=f"^error: DATASETS.{key} is empty: name the registered"):
        runpy.run_path(str(TOOLS / tool), run_name="__main__")


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("train_net.py", ["--eval_only"], "unrecognized argument --eval_only (near: --eval-only)"),
        (
            "train_net.py",
            ["--opts", "SEED", "1"],
            "--opts: leave it out, overrides KEY VALUE follow",
        ),
        (
            "demo.py",
            ["--input", "a.jpg", "MODEL.WEIGHTS", "x"],
            "MODEL.WEIGHTS: write overrides of",
        ),
        (
            "demo.py",
            ["--input", "a", "--num_gpus=1"],
            "unrecognized argument --num_gpus=1 (near: --n",
        ),
        (
            "visualize_tokens.py",
            ["--input", "a", "SEED=1"],
            "SEED=1: write overrides of the config",
        ),
        (
            "visualize_data.py",
            ["INPUT.CROP.ENABLED", "True"],
            "INPUT.CROP.ENABLED: write overrides",
        ),
        ("analyze_model.py", ["--sizes", "8x8"], "unrecognized argument --sizes (near: --size)"),
        ("validate_dataset.py", ["SOLVER.MAX_ITER", "3"], "at the end, behind --opts"),
    ],
)
def test_what_is_misplaced_is_named_with_its_place(monkeypatch, capsys, tool, arguments, says):
    config = ["--config-file", "configs/vtfpn_R18_scenes.yaml"]
    monkeypatch.setattr("sys.argv", [tool, *config, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOLS / tool), run_name="__main__")
    assert end.value.code == 2
    assert says in capsys.readouterr().err
