"""The installed package does not need research/."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def test_package_and_tools_import_nothing_of_research():
    rooms = ("vt_seg/**/*.py", "tools/*.py", "datasets/**/*.py")
    files = [path for room in rooms for path in ROOT.glob(room)]
    importing = {path.name for path in files if "vt_seg.engine" in imported_modules(path)}
    assert "train.py" in importing  # The search finds imports.
    for path in files:
        assert not [m for m in imported_modules(path) if m.split(".")[0] == "research"], path
        assert "research/" not in path.read_text(encoding="utf-8"), path


def test_wheel_has_the_package_alone(tmp_path):
    checkout = tmp_path / "checkout"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for room in ("vt_seg", "configs", "dev", "research", "tools", "datasets"):
        shutil.copytree(ROOT / room, checkout / room, ignore=skipped)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, checkout)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, checkout], check=True)
    (wheel,) = tmp_path.glob("vt_seg-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        rooms = {name.split("/")[0] for name in archive.namelist()}
    assert rooms == {"vt_seg", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
