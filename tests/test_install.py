"""The installation scripts run in small environments without network."""

import base64
import csv
import hashlib
import importlib.util
import io
import itertools
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).parents[1]
DEV = ROOT / "dev"
CARRIED = {
    "detectron2/__init__.py": b'# Detectron2\n\n__version__ = "0.6"\n',
    "detectron2/config/__init__.py": b"KEYS = 3\n",
    "detectron2/config/Base, with comma.yaml": b"MODEL: {}\n",
}
LICENCE = b"Apache License, Version 2.0\n"


def load_install_detectron2():
    path = DEV / "install_detectron2.py"
    spec = importlib.util.spec_from_file_location("install_detectron2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command, check=True, **environment):
    """Run a command outside the checkout, without the caller's PYTHONPATH."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=DEV.anchor,
        env=inherited | environment,
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def carrier(tmp_path_factory) -> Path:
    """Return a wheel with the layout of the one that carries Detectron2."""
    path = tmp_path_factory.mktemp("carrier") / "geowatch-0.20.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in CARRIED.items():
            archive.writestr(f"geowatch_tpl/submodules_static/detectron2/{name}", data)
        archive.writestr("geowatch_tpl/submodules_static/other/__init__.py", b"")
        archive.writestr("geowatch/__init__.py", b"")
        archive.writestr("geowatch-0.20.0.dist-info/licenses/LICENSE", LICENCE)
    return path


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """Return the Python of an environment that contains pip and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    # The base interpreter does not see the environment under test.
    run(Path(sys.base_prefix, "bin", "python3"), "-m", "venv", folder)
    return folder / "bin" / "python"


def install_from(carrier: Path, python: Path):
    """Run the installer on a carrier that it accepts."""
    digest = hashlib.sha256(carrier.read_bytes()).hexdigest()
    code = f"""
import sys
sys.path.insert(0, {str(DEV)!r})
import install_detectron2
install_detectron2.SOURCE_SHA256 = {digest!r}
sys.argv[1:] = ["--wheel", {str(carrier)!r}]
install_detectron2.main()
"""
    return run(python, "-c", code)


def packages_of(python: Path) -> set[str]:
    (folder,) = python.parents[1].glob("lib/python*/site-packages")
    return {path.name for path in folder.iterdir()}


def test_wheel_records_every_file_with_its_digest_and_size(carrier, tmp_path):
    wheel = load_install_detectron2().build_wheel(carrier, tmp_path)

    assert wheel.name == "detectron2-0.6+geowatch.0.20.0-py3-none-any.whl"
    dist_info = "detectron2-0.6+geowatch.0.20.0.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    meta = {f"{dist_info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    assert set(contents) == set(CARRIED) | meta
    assert {name: contents[name] for name in CARRIED} == CARRIED
    assert contents[f"{dist_info}/licenses/LICENSE"] == LICENCE

    rows = list(csv.reader(io.StringIO(contents.pop(f"{dist_info}/RECORD").decode())))
    assert rows.pop() == [f"{dist_info}/RECORD", "", ""]
    expected = []
    for name, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        expected.append([name, f"sha256={digest}", str(len(data))])
    assert rows == expected


def test_wheel_without_detectron2_is_refused(tmp_path):
    wheel = tmp_path / "geowatch.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("geowatch/__init__.py", b"")
    install_detectron2 = load_install_detectron2()
    with pytest.raises(install_detectron2.InstallationError, match="does not carry Detectron2"):
        install_detectron2.build_wheel(wheel, tmp_path)


def test_detectron2_is_installed_kept_and_uninstalled(carrier, bare_python):
    before = packages_of(bare_python)

    first = install_from(carrier, bare_python)
    assert packages_of(bare_python) - before == {
        "detectron2",
        "detectron2-0.6+geowatch.0.20.0.dist-info",
    }
    assert "Detectron2 needs more: " in first.stdout
    assert "fvcore>=0.1.5" in first.stdout
    code = "import detectron2, detectron2.config as c; print(detectron2.__version__, c.KEYS)"
    assert run(bare_python, "-c", code).stdout == "0.6 3\n"
    shown = run(bare_python, "-m", "pip", "show", "detectron2").stdout
    assert "Version: 0.6+geowatch.0.20.0\n" in shown
    assert "License: Apache-2.0\n" in shown

    # Without --wheel, the script needs no network where Detectron2 is installed.
    again = run(bare_python, DEV / "install_detectron2.py").stdout
    assert again.startswith("Detectron2 is importable already, from ")

    run(bare_python, "-m", "pip", "uninstall", "-y", "detectron2")
    assert packages_of(bare_python) == before


def test_file_with_another_digest_is_refused(carrier, bare_python):
    before = packages_of(bare_python)
    done = run(bare_python, DEV / "install_detectron2.py", "--wheel", carrier, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    digest = hashlib.sha256(carrier.read_bytes()).hexdigest()
    assert done.stderr == (
        "Detectron2 is not installed: geowatch-0.20.0-py3-none-any.whl is not the file this was "
        f"tested with and may have been tampered with (sha256 {digest}, expected "
        "b1c580a69e2966610b1b9c6ff9647800a17fa8898ef4c3737e48097a7630c381)\n"
    )
    assert packages_of(bare_python) == before


def test_clone_of_detectron2_in_the_path_is_no_installation(bare_python, tmp_path):
    (tmp_path / "detectron2" / "configs").mkdir(parents=True)
    code = "import install_detectron2; print(install_detectron2.find_detectron2())"
    path = os.pathsep.join([str(DEV), str(tmp_path)])
    assert run(bare_python, "-c", code, PYTHONPATH=path).stdout == "None\n"


def test_environment_is_isolated_without_detectron2(bare_python, tmp_path):
    environment = tmp_path / "venv"
    run(bare_python, DEV / "create_environment.py", environment)
    config = (environment / "pyvenv.cfg").read_text()
    assert "include-system-site-packages = false" in config
    # A second run does not change it.
    (environment / "pyvenv.cfg").write_text(config + "kept = true\n")
    again = run(bare_python, DEV / "create_environment.py", environment)
    assert again.stdout == f"Keeping the environment {environment}\n"
    assert (environment / "pyvenv.cfg").read_text() == config + "kept = true\n"


def test_environment_sees_an_installed_detectron2(bare_python, tmp_path):
    (site_packages,) = bare_python.parents[1].glob("lib/python*/site-packages")
    # `pip install -e` writes a .pth file that names the checkout.
    package = tmp_path / "checkout" / "detectron2" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text('__version__ = "0.6.own"\n')
    link = site_packages / "own_detectron2.pth"
    link.write_text(f"{tmp_path / 'checkout'}\n")
    environment = tmp_path / "venv"
    try:
        made = run(bare_python, DEV / "create_environment.py", environment)
        python = environment / "bin" / "python"
        found = run(python, "-c", "import detectron2; print(detectron2.__file__)").stdout
        installer = run(python, DEV / "install_detectron2.py").stdout
    finally:
        link.unlink()
    assert f"uses the Detectron2 in {package.parent} as it is" in made.stdout
    # The Makefile reads this line to choose what it installs.
    assert "include-system-site-packages = true" in (environment / "pyvenv.cfg").read_text()
    assert found == f"{package}\n"
    assert installer == (
        f"Detectron2 is importable already, from {package.parent}: nothing to install\n"
    )


def test_python_without_ensurepip_names_the_fix(bare_python, tmp_path):
    code = f"""
import sys
sys.modules["ensurepip"] = None
sys.path.insert(0, {str(DEV)!r})
sys.argv[1:] = [{str(tmp_path / "venv")!r}]
import create_environment
create_environment.main()
"""
    done = run(bare_python, "-c", code, check=False)
    assert done.returncode == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt install python{version}-venv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "venv").exists()


def pinned_versions(python_version: str) -> dict[str, str]:
    """Return the versions that requirements.txt installs on a Python version, by package."""
    pins = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        text = line.split("#")[0].strip()
        requirement = Requirement(text) if text else None
        if requirement is None or (
            requirement.marker
            and not requirement.marker.evaluate({"python_version": python_version})
        ):
            continue
        assert requirement.name not in pins, f"{requirement.name} is pinned twice"
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        pins[requirement.name] = pin.version
    return pins


def declared_ranges() -> list[str]:
    """Return the dependencies and the extras, as pyproject.toml states them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    # No test needs the models of other libraries, and the benchmark states their versions.
    del extras["bench"]
    return [*project["dependencies"], *itertools.chain(*extras.values())]


def test_model_zoo_can_be_imported():
    """Detectron2's model_zoo imports pkg_resources, which setuptools 82 lacks."""
    run(sys.executable, "-W", "ignore", "-c", "from detectron2 import model_zoo")


@pytest.mark.parametrize("python_version", ["3.10", "3.11", "3.12"])
def test_tested_versions_cover_the_requirements_of_vt_seg_and_detectron2(python_version):
    pins = pinned_versions(python_version)
    for text in (*declared_ranges(), *load_install_detectron2().REQUIREMENTS):
        requirement = Requirement(text)
        assert requirement.name in pins
        assert requirement.specifier.contains(pins[requirement.name], prereleases=True), text
