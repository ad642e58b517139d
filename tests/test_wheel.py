"""A wheel alone, outside of the checkout, does what the documents say of `vt-seg` and exports."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest
import yaml

from vt_seg.data import read_mask

from .document_walk import INSTALLED, ROOT, blocks
from .small_configs import TINY_SCENES, TWO_LEVELS
from .test_documents import write_config, write_my_data

WALK = ROOT / "tests/document_walk.py"


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """Return the folder of a virtual environment that sees dependencies, but no sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source, environment = folder / "source", folder / "environment"
    for name in ("vt_seg", "configs", "dev"):
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


def test_missing_detectron2_is_installed_by_a_script_of_the_wheel(installation, tmp_path):
    code = "import sys\nsys.modules['detectron2'] = None\ntry: import vt_seg\n"
    code += "except ImportError as error: print(error)"
    message = run(tmp_path, installation / "bin/python", "-c", code)
    python, script = re.search("run `(.*) (.*)`", message).groups()
    said = run(tmp_path, python, script)
    assert said.startswith("Detectron2 is importable already, from ")


def test_documents_work_in_an_installation(installation, tmp_path):
    write_my_data(tmp_path / "my")
    (config,) = (block for block in blocks("README.md") if block.file == "my_data.yaml")
    write_config(tmp_path / config.file, yaml.safe_load(config.text), [*TINY_SCENES, *TWO_LEVELS])
    said = run(tmp_path, installation / "bin/vt-seg", "configs")
    assert "vtfpn_R50_cocostuff" in said

    said = run(tmp_path, installation / "bin/python", WALK, *INSTALLED)
    assert f"installed: {installation}/lib" in said
    assert "configs in configs" in said
    trained, evaluated = said.split("$ vt-seg evaluate")
    miou = re.search(r"Done: mIoU (\d+\.\d+) %", trained)[1]
    assert f"mIoU {miou} " in evaluated
    output = tmp_path / "output/my_data/predictions"
    files = {f"{i}_{what}" for i in range(3) for what in ("prediction.jpg", "labels.png")}
    assert files <= set(os.listdir(output))
    assert read_mask(output / "0_labels.png").shape == (40, 48)
    assert (tmp_path / "colors/train/5_color.png").is_file()

    exported = [line for line in said.splitlines() if "labels equal at 100.0000%" in line]
    assert len(exported) == 2
    shares = re.findall(r"^0.png: (earth|grass|water) (\d+\.\d)%$", said, re.M)
    assert sum(float(share) for _, share in shares) == pytest.approx(100, abs=0.2)
    assert read_mask(tmp_path / "0_labels.png").shape == (40, 48)
