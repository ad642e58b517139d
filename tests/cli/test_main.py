"""The command `vt-seg`: its sub-commands, and configs by name."""

import importlib
import re
from pathlib import Path

import pytest

from vt_seg import model_zoo
from vt_seg.cli import evaluate, train
from vt_seg.cli.main import COMMANDS, main
from vt_seg.command_line import config_path

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", [*COMMANDS, "visualize data", "visualize tokens"])
def test_every_command_has_a_page_with_its_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: vt-seg {command}")
    without_description = r"^  --[\w-]+(?: \S+)*\n(?! {10})"
    assert not re.findall(without_description, printed, re.M)
    page = (ROOT / "docs/commands" / f"{command.split()[0]}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# vt-seg {command.split()[0]}\n")
    if command != "visualize":  # which has two commands
        assert f"```{{command-help}} {command}\n" in page


def test_unknown_command_ends_with_code_2(capsys):
    with pytest.raises(SystemExit) as end:
        main(["validat"])
    assert end.value.code == 2
    assert "'validat' (choose from" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["analyze", "export", "predict", "validate", "visualize data"])
def test_empty_name_of_a_config_is_refused(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--config-file", ""])
    assert end.value.code == 2
    assert "argument --config-file: it is empty: name a config" in capsys.readouterr().err


def test_error_of_a_sub_command_is_a_message():
    with pytest.raises(SystemExit, match=r"^error: there is no config file nothing.yaml"):
        main(["analyze", "--config-file", "nothing.yaml"])


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("analyze_model", "analyze"),
        ("demo", "predict"),
        ("train_net", "train"),
        ("validate_dataset", "validate"),
        ("visualize_data", "visualize_data"),
        ("visualize_tokens", "visualize_tokens"),
    ],
)
def test_tools_run_the_code_of_the_commands(tool, command):
    tool = importlib.import_module(f"tools.{tool}")
    assert tool.main is importlib.import_module(f"vt_seg.cli.{command}").run


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["--config-file", "x.yaml"], ["--eval-only", "--resume"]),
        (["--config-file", "x.yaml", "MODEL.WEIGHTS", "a.pth"], ["--eval-only"]),
    ],
)
def test_evaluate_takes_the_newest_checkpoint_unless_weights_are_named(
    monkeypatch, arguments, flags
):
    calls = []
    monkeypatch.setattr(evaluate, "launch", lambda *given: calls.append(given))
    main(["evaluate", *arguments])
    assert calls == [(train.run, evaluate.__doc__, [*flags, *arguments], "vt-seg evaluate")]


def test_configs_are_given_by_name_unless_a_file_has_it(tmp_path, monkeypatch, capsys):
    main(["analyze", "--config-file", "vtfpn_R18_scenes", "--size", "64x64"])
    assert "vtfpn_R18_scenes.yaml, 14 classes" in capsys.readouterr().out
    assert config_path("vtfpn_R18_scenes") == str(ROOT / "configs/vtfpn_R18_scenes.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vtfpn_R18_scenes.yaml").write_text("SEED: 1\n")
    assert config_path("vtfpn_R18_scenes.yaml") == "vtfpn_R18_scenes.yaml"
    assert config_path("unknown") == "unknown"


def test_configs_are_listed_and_copied_without_overwriting(tmp_path, capsys):
    main(["configs"])
    assert capsys.readouterr().out.split() == model_zoo.config_names()
    copy = tmp_path / "configs"
    main(["configs", "--copy", str(copy)])
    files = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    assert {path.relative_to(copy) for path in copy.rglob("*.yaml")} == files
    mine = copy / "vtfpn_R18_scenes.yaml"
    mine.write_text("mine")
    with pytest.raises(SystemExit, match=f"^error: --copy {copy} is there already: name a new"):
        main(["configs", "--copy", str(copy)])
    assert mine.read_text() == "mine"
    with pytest.raises(SystemExit, match=r"^error: --copy is empty: name a new folder"):
        main(["configs", "--copy", ""])
