"""A user's modules are imported by the command line alone."""

import os
import re
import sys
from pathlib import Path

import pytest
from detectron2.config import CfgNode, get_cfg

from vt_seg import add_vt_seg_config, user_modules
from vt_seg.data import build_augmentations
from vt_seg.engine import load_cfg
from vt_seg.user_modules import user_object

ROOT = Path(__file__).parents[1]
SCENES = str(ROOT / "configs/vtfpn_R18_scenes.yaml")


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
