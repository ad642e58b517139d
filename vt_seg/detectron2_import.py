"""Import Detectron2 quietly, or say in one sentence why that does not work."""

import importlib
import warnings

# What vt_seg uses, with the decorators that warn when they are first imported.
_MODULES = (
    "detectron2.config",
    "detectron2.structures",
    "detectron2.layers",
    "detectron2.modeling",
    "detectron2.data",
    "detectron2.solver",
    "detectron2.checkpoint",
    "detectron2.evaluation",
    "detectron2.engine",
    "detectron2.utils.visualizer",
)


def import_detectron2() -> None:
    """Import the parts of Detectron2 that vt_seg uses, without their deprecation warnings.

    The warnings (nine about ``torch.jit.script``) come once, at the first import, and a user can do
    nothing about them. The user's warning filters stay as they were.

    Raises:
        ImportError: if Detectron2, or something that it needs, is missing; names the fix.
    """
    _import("detectron2")
    # Before the block, which would undo the warning filters that PyTorch sets for itself.
    _import("torchvision")
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", category)
        for module in _MODULES:
            _import(module)


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ImportError(_explain(module, error), name=error.name) from None


def _explain(module: str, error: ImportError) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing == "detectron2":
        return (
            "vt_seg needs Detectron2, which is not installed: run `make install`, or "
            "`python dev/install_detectron2.py` to add it to this environment."
        )
    if missing and not missing.startswith("detectron2."):
        return (
            f"Detectron2 is installed, but {missing!r}, which `import {module}` needs, is not: "
            "run `make install`, or install the packages that requirements.txt lists."
        )
    return f"Detectron2 is installed, but `import {module}` fails: {error}"
