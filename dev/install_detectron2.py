"""Install Detectron2 into the environment of the Python that runs this script.

Detectron2 has no release on PyPI. The wheel of geowatch there carries a recent copy of it, in pure
Python and under the same Apache-2.0 licence. This script downloads that wheel, checks it, makes a
wheel named detectron2 of the copy, and installs this wheel alone. A Detectron2 that can be imported
already is kept. Only the standard library is imported, since nothing else may be installed yet.
"""

from __future__ import annotations

import argparse
import ast
import base64
import csv
import hashlib
import importlib.metadata
import importlib.util
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SOURCE = "geowatch==0.20.0"
SOURCE_SHA256 = "b1c580a69e2966610b1b9c6ff9647800a17fa8898ef4c3737e48097a7630c381"
PARENT_FOLDER = "geowatch_tpl/submodules_static/detectron2/"  # in the wheel, of `detectron2/`
LOCAL_VERSION = "geowatch.0.20.0"  # 0.6 becomes 0.6+geowatch.0.20.0: `pip show` tells its origin

# The packages that the copy imports, but OpenCV, whose several packages overwrite one another.
REQUIREMENTS = (
    "black",
    "cloudpickle",
    "fvcore>=0.1.5",
    "hydra-core>=1.1",
    "iopath>=0.1.7",
    "matplotlib",
    "numpy",
    "omegaconf>=2.1",
    "packaging",
    "pillow>=7.1",
    "pycocotools>=2.0.2",
    "setuptools<82",  # pkg_resources, which its model_zoo imports
    "tabulate",
    "tensorboard",
    "termcolor>=1.1",
    "torch",
    "torchvision",
    "tqdm>4.29.0",
    "yacs>=0.1.8",
)


def main() -> None:
    """Install Detectron2 unless it is installed already."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--wheel",
        type=Path,
        help=f"copy of the wheel {SOURCE}, for an installation without network",
    )
    wheel = parser.parse_args().wheel

    present = find_detectron2()
    if present:
        print(f"Detectron2 is importable already, from {present}: nothing to install")
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = wheel or download(Path(folder))
            check_sha256(source, SOURCE_SHA256)
            install(build_wheel(source, Path(folder)))
    except InstallationError as error:
        sys.exit(f"Detectron2 is not installed: {error}")
    missing = [requirement for requirement in REQUIREMENTS if not is_installed(requirement)]
    if missing:
        print(f"Detectron2 needs more: {sys.executable} -m pip install '{' '.join(missing)}'")


class InstallationError(Exception):
    """Failure of a step of the installation; the message names the step and the reason."""


def find_detectron2() -> Path | None:
    """Return the folder of the Detectron2 that this interpreter imports; None if there is none."""
    spec = importlib.util.find_spec("detectron2")
    # A folder without `__init__.py`, such as a clone of Detectron2, has a spec without an origin.
    return Path(spec.origin).parent if spec and spec.origin else None


def download(folder: Path) -> Path:
    """Download the wheel that carries Detectron2, and nothing that it depends on."""
    print(f"Downloading {SOURCE}, which carries Detectron2")
    run_pip("download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), SOURCE)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_sha256(path: Path, expected: str) -> None:
    """Raise InstallationError unless the file's SHA-256 digest is the expected one."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InstallationError(f"cannot read {path}: {error.strerror}") from error
    if digest != expected:
        raise InstallationError(
            f"{path.name} is not the file this was tested with and may have been tampered with "
            f"(sha256 {digest}, expected {expected})"
        )


def build_wheel(source: Path, folder: Path) -> Path:
    """Make a wheel named detectron2 from the copy that another wheel carries.

    Args:
        source: The wheel that carries it, in ``PARENT_FOLDER``.
        folder: Folder of the new wheel.

    Returns:
        The path of the new wheel.

    Raises:
        InstallationError: if the source does not carry Detectron2 and its licence.
    """
    with zipfile.ZipFile(source) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        package = {
            name.removeprefix(PARENT_FOLDER): archive.read(name)
            for name in names
            if name.startswith(PARENT_FOLDER + "detectron2/")
        }
        licences = [name for name in names if re.search(r"\.dist-info/.*LICENSE$", name)]
        if "detectron2/__init__.py" not in package or len(licences) != 1:
            raise InstallationError(f"{source.name} does not carry Detectron2 and its licence")
        licence = archive.read(licences[0])

    version = f"{read_version(package['detectron2/__init__.py'])}+{LOCAL_VERSION}"
    dist_info = f"detectron2-{version}.dist-info"
    contents = package | {
        f"{dist_info}/METADATA": metadata(version).encode(),
        f"{dist_info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: vt_seg\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{dist_info}/licenses/LICENSE": licence,
    }
    record = io.StringIO()
    rows = [(name, record_digest(data), len(data)) for name, data in contents.items()]
    csv.writer(record, lineterminator="\n").writerows([*rows, (f"{dist_info}/RECORD", "", "")])
    contents[f"{dist_info}/RECORD"] = record.getvalue().encode()

    wheel = folder / f"detectron2-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return wheel


def read_version(source: bytes) -> str:
    """Return the string that a module's source assigns to ``__version__``."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return ast.literal_eval(node.value)
    raise InstallationError("this copy of Detectron2 does not state its version")


def metadata(version: str) -> str:
    """Return the METADATA file of the wheel."""
    lines = [
        "Metadata-Version: 2.1",
        "Name: detectron2",
        f"Version: {version}",
        f"Summary: Detectron2, the pure-Python copy from {SOURCE}, repackaged by vt_seg",
        "Home-page: https://github.com/facebookresearch/detectron2",
        "Author: FAIR",
        "License: Apache-2.0",
        "License-File: LICENSE",
        "Requires-Python: >=3.7",
        *(f"Requires-Dist: {requirement}" for requirement in REQUIREMENTS),
    ]
    return "\n".join(lines) + "\n"


def record_digest(data: bytes) -> str:
    """Return a file's digest in RECORD's format: URL-safe base64 without padding."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def install(wheel: Path) -> None:
    """Install a wheel, and nothing that it depends on."""
    run_pip("install", "--no-deps", "--no-index", str(wheel))


def is_installed(requirement: str) -> bool:
    """Return True if any version of the package that a requirement names is installed."""
    name = re.split(r"[<>=]", requirement)[0]
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def run_pip(*arguments: str) -> None:
    """Run pip; raise InstallationError if it fails."""
    command = [sys.executable, "-m", "pip", *arguments]
    if subprocess.run(command, check=False).returncode != 0:
        raise InstallationError(f"this command failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
