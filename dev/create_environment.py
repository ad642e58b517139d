"""Create the virtual environment that `make install` fills.

If the interpreter that runs this script has a Detectron2, the environment sees the interpreter's
packages, so that this Detectron2 and its torch are used as they are. Only the standard library is
imported.
"""

# Without this, an older Python would fail at the annotations before it is reported as too old.
from __future__ import annotations

import argparse
import importlib.util
import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from install_detectron2 import find_detectron2

MINIMUM_PYTHON = (3, 10)


def main() -> None:
    """Create the environment, or keep one that works."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "directory", type=Path, help="folder of the environment, which is kept if it works"
    )
    directory = parser.parse_args().directory

    if is_working(directory):
        print(f"Keeping the environment {directory}")
        return
    problem = find_problem()
    if problem:
        sys.exit(f"{sys.executable} cannot create {directory}: {problem}")
    detectron2 = find_detectron2()
    if detectron2:
        print(f"Creating {directory}, which uses the Detectron2 in {detectron2} as it is")
    else:
        print(f"Creating {directory} with Python {sys.version.split()[0]}")
    create(directory, sees_this_interpreter=detectron2 is not None)


def is_working(directory: Path) -> bool:
    """Return True if an earlier run created the environment completely."""
    python = directory / "bin" / "python"
    if not python.exists():
        return False
    run = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)
    return run.returncode == 0


def find_problem() -> str | None:
    """Return why this interpreter cannot create the environment, with a fix; None if it can."""
    if sys.version_info < MINIMUM_PYTHON:
        return (
            f"it is Python {sys.version.split()[0]}, and vt_seg needs "
            f"{'.'.join(map(str, MINIMUM_PYTHON))} or newer. Name another one: "
            "make install PYTHON=python3.12"
        )
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            "it lacks the module ensurepip. On Debian and Ubuntu: "
            f"apt install python{version}-venv; or name another Python: make install PYTHON=..."
        )
    return None


def create(directory: Path, sees_this_interpreter: bool) -> None:
    """Create a virtual environment with pip, which may see this interpreter's packages."""
    builder = venv.EnvBuilder(
        with_pip=True, system_site_packages=sees_this_interpreter, symlinks=True
    )
    builder.create(directory)
    in_environment = sys.prefix != sys.base_prefix
    if sees_this_interpreter and in_environment:
        # "System" means the interpreter below this environment, so its own packages are named here.
        # addsitedir also follows their .pth files, as an editable Detectron2 needs.
        paths = {"base": str(directory), "platbase": str(directory)}
        own_packages = Path(sysconfig.get_path("purelib", vars=paths))
        lines = [
            f"import site; site.addsitedir({packages!r})\n" for packages in site.getsitepackages()
        ]
        (own_packages / "creating_environment.pth").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
