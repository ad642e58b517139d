"""Import Detectron2 quietly, or say in one sentence why that does not work."""

import importlib
import sys
import warnings
from pathlib import Path

# What vt_seg uses, with the decorators that warn when they are first imported.
_PACKAGES = "config structures layers modeling data solver checkpoint evaluation engine"


def installer() -> Path:
    """Return the script that installs Detectron2: that of the checkout, or the wheel's copy."""
    package = Path(__file__).parent
    in_wheel = package / "install_detectron2.py"
    return in_wheel if in_wheel.is_file() else package.parent / "dev" / in_wheel.name


def import_detectron2() -> None:
    """Import the parts of Detectron2 that vt_seg uses, without their deprecation warnings.

    A user can do nothing about them. The user's warning filters stay as they were.

    Raises:
        ImportError: if Detectron2, or something that it needs, is missing; names the fix.
    """
    _import("detectron2")
    # Before the block, which would undo the warning filters that PyTorch sets for itself.
    _import("torchvision")
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        for package in _PACKAGES.split():
            _import(f"detectron2.{package}")
        _import("detectron2.utils.visualizer")


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        message = f"Detectron2 is installed, but `import {module}` fails: {error}"
        if missing == "detectron2":
            message = (
                "vt_seg needs Detectron2, which is not installed: install your own build, or run "
                f"`{sys.executable} {installer()}` to add a pure-Python copy to this environment."
            )
        elif missing and not missing.startswith("detectron2."):
            message = (
                f"Detectron2 is installed, but {missing!r}, which `import {module}` needs, is not: "
                "install it with pip (cv2 is in opencv-python-headless)."
            )
        raise ImportError(message, name=error.name) from None
