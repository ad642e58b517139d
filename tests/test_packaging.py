"""An installation contains the package and the configs, with the metadata of pyproject.toml."""

import os
import re
import subprocess
import sys
from email.parser import Parser
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def files_below(folder: Path) -> set[str]:
    """Return the files below a folder, relative to its parent, without compiled ones."""
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_installation_contains_the_package_and_the_configs(tmp_path):
    # Reading the version must not import the package, since pip builds it without torch.
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')\n")
    library = tmp_path / "library"
    command = ["setup.py", "-q", "egg_info", "--egg-base", tmp_path]
    command += ["build_py", "--build-lib", library]
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    assert [path.name for path in library.iterdir()] == ["vt_seg"]
    built = files_below(library / "vt_seg")
    configs = {f"vt_seg/{path}" for path in files_below(ROOT / "configs")}
    copies = configs | {"vt_seg/install_detectron2.py"}
    assert built == files_below(ROOT / "vt_seg") | copies
    assert {"vt_seg/py.typed", "vt_seg/visualization/tokens/page.html"} <= built

    (information,) = tmp_path.glob("*.egg-info/PKG-INFO")
    metadata = Parser().parsestr(information.read_text(encoding="utf-8"))
    source = (ROOT / "vt_seg" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{metadata["Version"]}"' in source
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"


def test_workflow_runs_both_make_targets_on_every_supported_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[-2:] == ["make lint", "make test"]
    classifiers = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', classifiers)
    assert job["strategy"]["matrix"]["python-version"] == supported


def test_citation_file_and_bibtex_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    bibtex = " ".join(re.search(r"```bibtex\n(.*?)```", readme, re.S).group(1).split())
    authors = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    for field in (paper["title"], authors, paper["journal"], str(paper["year"])):
        assert f"{{{field}}}" in bibtex
