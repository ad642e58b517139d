"""A user's modules: imported by the command line alone, and the walk-through of the document."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from detectron2.config import CfgNode, get_cfg

from tests.tiny_datasets import write_tiny_scenes
from vt_seg import add_vt_seg_config, user_modules
from vt_seg.data import build_augmentations
from vt_seg.engine import load_cfg
from vt_seg.user_modules import user_object

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
SCENES = str(ROOT / "configs/vtfpn_R18_scenes.yaml")


def test_module_of_the_document_trains(tmp_path):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT, re.S | re.M)
    text = {kind: body for kind, body in blocks}
    for name, kind in (("my_ideas.py", "python"), ("my_model.yaml", "yaml")):
        assert f"`{name}`:" in DOCUMENT
        (tmp_path / name).write_text(text[kind])
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    write_tiny_scenes(tmp_path / "datasets")
    command = text[""].splitlines()[0].split()
    assert command[:2] == ["python", "tools/train_net.py"]
    quick = ["SOLVER.MAX_ITER", "3", "SOLVER.IMS_PER_BATCH", "4", "SOLVER.WARMUP_ITERS", "0"]
    quick += ["INPUT.MIN_SIZE_TRAIN", "(64,)", "DATALOADER.NUM_WORKERS", "1"]
    done = subprocess.run(
        [sys.executable, *command[1:], *quick],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    log = done.stdout + done.stderr
    assert done.returncode == 0, log[-3000:]
    assert "UserAugmentation(my_ideas.darken), UserAugmentation(torchvision.transforms.v2." in log
    assert re.search(r"Done: mIoU \d", log)
    written = yaml.safe_load((tmp_path / "output/my_model/config.yaml").read_text())
    assert written["VT_SEG"] == {"IMPORT": ["my_ideas.py"]}
    assert written["MODEL"]["PATCHES"] == {"SIZE": 8, "CHANNELS": 32}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes files into the working directory; its modules are forgotten later."""
    monkeypatch.setattr(user_modules, "_imported", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    yield write_file
    for name in ("mine", "mine.more", "bad"):
        sys.modules.pop(name, None)


KEYS = (
    "from pathlib import Path\nPath('ran').touch()\ndef add_config(cfg):\n    cfg.MODEL.MINE = 3\n"
)


@pytest.mark.parametrize("asks", ["mine.py", "mine", "./mine.py"])
def test_config_runs_code_only_if_the_caller_names_it(write, tmp_path, asks):
    write("mine.py", KEYS)
    base = write("base.yaml", f"_BASE_: {SCENES}\nVT_SEG: {{IMPORT: [{asks}]}}\n")
    config = write("my.yaml", f"_BASE_: {base}\nMODEL: {{MINE: 4}}\n")
    says = f"my.yaml: VT_SEG.IMPORT asks for {asks}, whose code would run: if you trust it, add --i"
    with pytest.raises(ValueError, match=re.escape(says)):
        load_cfg(config)
    with pytest.raises(ValueError, match=r"overrides: VT_SEG.IMPORT asks for mine\.py"):
        load_cfg(SCENES, ["VT_SEG.IMPORT", "['mine.py']"])
    assert not (tmp_path / "ran").exists()
    cfg = load_cfg(config, imports=[asks])
    assert cfg.MODEL.MINE == 4
    assert list(cfg.VT_SEG.IMPORT) == [asks]
    assert load_cfg(SCENES, imports=[asks]).MODEL.MINE == 3
    assert "MINE" not in load_cfg(SCENES).MODEL


@pytest.mark.parametrize(
    ("given", "text", "says"),
    [
        ("gone.py", None, "--import gone.py: there is no such file"),
        ("gone_module", None, "--import gone_module: there is no such module, neither installed"),
        ("my-ideas.py", "", "--import my-ideas.py: give the name of a module, or a file such as"),
        ("random.py", "", "random.py is the module of this name already: rename the file"),
        ("bad.py", "x = 1\nx = y\n", "bad.py, line 2: NameError: name 'y' is not defined"),
        ("bad.py", "x = (\n", "bad.py, line 1: SyntaxError: '(' was never closed"),
        ("bad.py", "import no_such\n", "bad.py, line 1: ModuleNotFoundError: No module named"),
        ("bad.py", "import sys\n\nsys.exit(0)\n", "bad.py, line 3: SystemExit: 0"),
        (
            "bad.py",
            "def add_config(cfg):\n    cfg.X.Y = 1\n",
            "add_config of bad.py fails: {folder}/bad.py, line 2: AttributeError: X",
        ),
        (
            "bad.py",
            "def add_config(cfg):\n    raise SystemExit(0)\n",
            "add_config of bad.py fails: {folder}/bad.py, line 2: SystemExit: 0",
        ),
        (
            "bad.py",
            "def add_config(cfg):\n    cfg.SEED = 'mine'\n",
            "add_config of bad.py removes SEED or changes its type: let it add keys of other",
        ),
    ],
)
def test_module_that_cannot_be_imported_is_named_with_the_line(write, tmp_path, given, text, says):
    if text is not None:
        write(given, text)
    says = says.replace("{folder}", str(tmp_path))
    with pytest.raises((ValueError, OSError), match=re.escape(says)):
        load_cfg(SCENES, imports=[given])


def test_module_leaves_working_directory_and_config_usable(write, tmp_path):
    text = "import os\nos.chdir('/')\ndef add_config(cfg):\n    cfg.freeze()\n"
    write("mine.py", text)
    write("my.yaml", f"_BASE_: {SCENES}\n")
    assert load_cfg("my.yaml", imports=["mine.py"]).VT_SEG.IMPORT == ["mine.py"]
    assert os.getcwd() == str(tmp_path)


@pytest.mark.parametrize("names", [None, 3, [None]])
def test_import_of_other_things_than_names_is_refused(names):
    with pytest.raises(ValueError, match=r"VT_SEG.IMPORT is .*: name modules, such as"):
        user_modules.require_imported(names, "overrides")


def test_only_what_an_imported_module_defines_can_be_named(write):
    text = "import os\nfrom os import system\nfrom .more import flip\nrun = system\n"
    write("mine/__init__.py", f"{text}class Noise: pass\nready = Noise()\n")
    write("mine/more.py", "def flip(image, mask): return image, mask\n")
    with pytest.raises(ValueError, match=r"os\.system is in no imported module .none.: write"):
        user_object("os.system")
    load_cfg(SCENES, imports=["mine"])
    for name in ("mine.flip", "mine.more.flip", "mine.Noise", "mine.ready"):
        assert "mine" in str(getattr(user_object(name), "__module__", type(name)))
    for name, says in {
        "os.system": r"is in no imported module \(mine\)",
        "mine.os.system": "is in no imported module",
        "mine.system": "is defined in posix: name it by posix",
        "mine.run": "is defined in posix",
        "mine.Nois": r"mine has no Nois \(near: Noise, os\)",
    }.items():
        with pytest.raises(ValueError, match=says):
            user_object(name)


def test_detectron2_merges_the_keys_and_imports_nothing(write, tmp_path):
    write("mine.py", KEYS)
    config = write(
        "my.yaml", "VT_SEG: {IMPORT: [mine.py]}\nINPUT: {AUGMENTATIONS: [mine.add_config]}"
    )
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.merge_from_file(config, allow_unsafe=False)
    assert CfgNode.load_cfg(cfg.dump()).VT_SEG == {"IMPORT": ["mine.py"]}
    with pytest.raises(ValueError, match=r"mine\.add_config is in no imported module"):
        build_augmentations(cfg, is_train=True)
    assert not (tmp_path / "ran").exists()
