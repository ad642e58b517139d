"""The configs that come with vt_seg, by name, in a checkout and in an installation alike."""

from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode

from .near_names import near_names


def config_folder() -> Path:
    """Return the folder of the configs: that of the checkout, or its copy in the installation."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def config_names() -> list[str]:
    """Return the names of all configs, with folders, such as "timm/fpn_swin_tiny_cocostuff"."""
    folder = config_folder()
    files = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return sorted(path.with_suffix("").as_posix() for path in files if "base" not in path.parts)


def config_file(name: str) -> str:
    """Return the path of a config.

    Args:
        name: one of :func:`config_names`, with or without ".yaml".

    Raises:
        ValueError: if there is no config of that name.
    """
    known = config_names()
    if name.removesuffix(".yaml") not in known:
        raise ValueError(f"there is no config {name!r}{near_names(name, known)}")
    return str(config_folder() / f"{name.removesuffix('.yaml')}.yaml")


def get_config(name: str, overrides: Sequence[str] = ()) -> CfgNode:
    """Return a config by its name, with ``["KEY", "VALUE", ...]`` merged over it.

    Raises:
        ValueError: if there is no config of that name, or an override is wrong (see
            :func:`vt_seg.engine.load_cfg`).
    """
    from .engine import load_cfg  # which finds the configs of its command line by this module

    return load_cfg(config_file(name), list(overrides))
