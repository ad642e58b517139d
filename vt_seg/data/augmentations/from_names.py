"""The augmentations that ``INPUT.AUGMENTATIONS`` names."""

import importlib
import inspect
import os
import re
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform
from torchvision.transforms import v2

from vt_seg.near_names import near_names
from vt_seg.user_modules import user_object

from .user_augmentation import UserAugmentation

_LIBRARIES = ("detectron2.data.transforms", "torchvision.transforms.v2", "albumentations")
_MIRRORING = re.compile(r"Flip|Transpose|^D4$|SquareSymmetry")
_FORM = '"my_ideas.darken" or {NAME: "albumentations.GaussNoise", ARGS: {p: 0.5}}'


def user_augmentations(cfg: CfgNode, *, swaps_labels: bool = False) -> list[T.Augmentation]:
    """Return the augmentations of ``INPUT.AUGMENTATIONS``, in their order.

    ``swaps_labels`` says that flips have to swap labels, so that those of the libraries are wrong.

    Raises:
        ValueError: if an entry is no name, or names nothing that may be used (see
            `vt_seg.user_modules` and `_of_library`), or its arguments are wrong; names the entry.
    """
    head = cfg.MODEL.SEM_SEG_HEAD
    return [
        UserAugmentation(
            name,
            _build(entry, swaps_labels),
            image_format=cfg.INPUT.FORMAT,
            num_classes=head.NUM_CLASSES,
            ignore_label=head.IGNORE_VALUE,
            is_stock=name.startswith("detectron2."),
        )
        for entry in cfg.INPUT.AUGMENTATIONS
        for name, _ in [_name_and_arguments(entry)]
    ]


def _name_and_arguments(entry: Any) -> tuple[str, dict[str, Any]]:
    entry = {"NAME": entry} if isinstance(entry, str) else entry
    if isinstance(entry, Mapping) and {"NAME"} <= set(entry) <= {"NAME", "ARGS"}:
        name, arguments = entry["NAME"], entry.get("ARGS") or {}
        if isinstance(name, str) and isinstance(arguments, Mapping):
            return name, dict(arguments)
    raise ValueError(f"INPUT.AUGMENTATIONS has {entry!r}: write {_FORM}")


def _build(entry: Any, swaps_labels: bool) -> Any:
    """Return what an entry names, made with its arguments, whose entries are built alike."""
    name, arguments = _name_and_arguments(entry)
    module, _, attribute = name.rpartition(".")
    is_library = module in _LIBRARIES
    if is_library and swaps_labels and _MIRRORING.search(attribute):
        raise ValueError(
            f"INPUT.AUGMENTATIONS {name} does not swap the labels of flip_label_pairs: set "
            "INPUT.RANDOM_FLIP horizontal, which does"
        )
    try:
        found = _of_library(module, attribute) if is_library else user_object(name)
    except ValueError as error:
        raise ValueError(f"INPUT.AUGMENTATIONS {error}") from error
    arguments = {key: _argument(value, swaps_labels) for key, value in arguments.items()}
    if inspect.isclass(found):
        try:
            with warnings.catch_warnings():  # albumentations passes over unknown arguments
                warnings.filterwarnings("error", message=".* not valid for transform")
                found = found(**arguments)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ValueError(f"INPUT.AUGMENTATIONS {name} with {arguments}: {reason}") from error
    elif arguments and not inspect.isroutine(found):
        raise ValueError(f"INPUT.AUGMENTATIONS {name} is an object, which takes no ARGS")
    elif arguments:
        found = partial(found, **arguments)
    if not (callable(found) or isinstance(found, Transform)):
        kind = type(found).__name__
        raise ValueError(f"INPUT.AUGMENTATIONS {name} is a {kind}: name what can be called")
    return found


def _argument(value: Any, swaps_labels: bool) -> Any:
    """Build the transforms of ``{transforms: [{NAME: ...}, ...]}``; other values stay."""
    if isinstance(value, list | tuple):
        return [_argument(item, swaps_labels) for item in value]
    is_entry = isinstance(value, Mapping) and "NAME" in value
    return _build(value, swaps_labels) if is_entry else value


def _of_library(module: str, attribute: str) -> type:
    """Return a transform class of a library; nothing else of it can be named by a config.

    Raises:
        ValueError: if the library is not installed, or has no transform of this name.
    """
    if module == "albumentations":  # It would ask a server for a newer version.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        library = importlib.import_module(module)
    except ImportError as error:
        fix = f"pip install {module}" if module == "albumentations" else str(error)
        raise ValueError(f"{module}.{attribute}: {module} cannot be imported: {fix}") from error
    bases: tuple[type, ...] = (T.Augmentation, Transform, v2.Transform)
    if module == "albumentations":
        bases = (library.BasicTransform, library.BaseCompose)
    classes = {name: x for name, x in vars(library).items() if inspect.isclass(x)}
    names = [name for name, kind in classes.items() if issubclass(kind, bases)]
    if attribute not in names:
        near = near_names(attribute, names)
        raise ValueError(f"{module}.{attribute}: {module} has no transform {attribute}{near}")
    return classes[attribute]
