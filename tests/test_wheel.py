"""A wheel alone, outside of the checkout, trains, evaluates and predicts as the documents say."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from vt_seg.data import read_mask

from .test_readme import ROOT, walk_through, write_my_data

# Runs command lines of vt-seg, and then Python, in one process: it is importing that takes time.
SCRIPT = """
import shlex, sys
from vt_seg.cli.main import main

for line in sys.argv[2].splitlines():
    print("$", line, flush=True)
    assert not main(shlex.split(line)[1:])
exec(sys.argv[3])
print("installed:", sys.modules["vt_seg"].__file__)
"""


def blocks(page, kind):
    """Return the code blocks of a page of the documents, as one text."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)
    return "".join(body for name, body in found if name == kind)


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """Return the folder of a virtual environment that sees dependencies, but no sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source, environment = folder / "source", folder / "environment"
    for name in ("vt_seg", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run(build, check=True, env=_environment())
    shutil.rmtree(source)
    venv.create(environment, symlinks=True)
    (library,) = environment.glob("lib/python*/site-packages")
    # Without a .pth, those of the folder are not obeyed, among them that of a checkout.
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = folder.glob("*.whl")
    python = environment / "bin/python"
    subprocess.run([*pip, "--python", python, "install", *offline, wheel], check=True)
    return environment


def _environment():
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**variables, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(folder, *command):
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_documents_work_in_an_installation(installation, tmp_path):
    write_my_data(tmp_path)
    name, config, _ = walk_through()
    (tmp_path / name).write_text(config)
    copy, *commands = blocks("command_line.md", "").splitlines()
    said = run(tmp_path, installation / "bin/vt-seg", *copy.split()[1:])
    assert "configs in configs" in said
    assert "vtfpn_R50_cocostuff.yaml" in os.listdir(tmp_path / "configs")

    commands += blocks("predicting.md", "").splitlines()
    python = blocks("predicting.md", "python")
    python += "assert labels.shape == (40, 48) and names == ['earth', 'grass', 'water']\n"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    said = run(tmp_path, installation / "bin/python", script, "", "\n".join(commands), python)
    assert f"installed: {installation}/lib" in said
    trained, evaluated = said.split("$ vt-seg evaluate")
    miou = re.search(r"Done: mIoU (\d+\.\d+) %", trained)[1]
    assert f"mIoU {miou} " in evaluated
    output = tmp_path / "output/my_data/predictions"
    files = {f"{i}_{what}" for i in range(3) for what in ("prediction.jpg", "labels.png")}
    assert files <= set(os.listdir(output))
    assert read_mask(output / "0_labels.png").shape == (40, 48)
    assert (tmp_path / "colors/train/5_color.png").is_file()
