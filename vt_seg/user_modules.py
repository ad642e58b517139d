"""Modules of a user, imported before a config is read: only those that the caller names.

A config file may say which modules it needs (``VT_SEG.IMPORT``), and cannot have them imported:
reading data never runs code.
"""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from detectron2.config import CfgNode

from .config_file import flat_keys
from .near_names import near_names

_imported: dict[str, ModuleType] = {}  # by name, or by the absolute path of a .py file


def import_modules(names: Sequence[str]) -> None:
    """Import modules by name (``"my_ideas"``, ``"pkg.ideas"``) or file (``"folder/ideas.py"``).

    A name is looked up among the installed modules and then in the working directory. The folder in
    which a module was found is put at the end of ``sys.path``, so that it hides no other module.

    Raises:
        FileNotFoundError: if there is no such file or module.
        ValueError: if the file has the name of another module, or the module cannot be imported;
            names file and line of the error.
    """
    for given in names:
        if _key(given) not in _imported:
            spec, folder = _find(given), os.getcwd()
            try:
                module = importlib.import_module(spec.name)
            except (Exception, SystemExit) as error:
                where = _place(error, os.path.dirname(spec.origin or ""))
                raise ValueError(f"{given} cannot be imported: {where}") from error
            os.chdir(folder)  # Paths of the command line and the config are relative to it.
            _imported[_key(given)] = module


def require_imported(names: Sequence[str], source: str) -> None:
    """Raise ValueError, with what to add, if `import_modules` imported not all that are asked for.

    ``source`` is where ``VT_SEG.IMPORT`` asks for them.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'VT_SEG.IMPORT is {names}: name modules, such as ["my_ideas.py"]')
    missing = [name for name in names if _key(name) not in _imported]
    if missing:
        flags = " ".join(f"--import {name}" for name in missing)
        raise ValueError(
            f"{source}: VT_SEG.IMPORT asks for {', '.join(missing)}, whose code would run: if you "
            f"trust it, add {flags} (in Python: imports={missing} of load_cfg)"
        )


def add_user_keys(cfg: CfgNode, names: Sequence[str]) -> None:
    """Call ``add_config(cfg)`` of each of these imported modules that has such a function.

    Raises:
        ValueError: if it fails; names the line. Or if it removes keys, or changes their types.
    """
    for name in dict.fromkeys(names):
        module = _imported[_key(name)]
        if callable(add_config := getattr(module, "add_config", None)):
            before = {key: type(value) for key, value in flat_keys(cfg)}
            try:
                add_config(cfg)
            except (Exception, SystemExit) as error:
                where = _place(error, os.path.dirname(module.__file__ or ""))
                raise ValueError(f"add_config of {name} fails: {where}") from error
            cfg.defrost()
            after = {key: type(value) for key, value in flat_keys(cfg)}
            for key, kind in before.items():
                if after.get(key) is not kind:
                    raise ValueError(
                        f"add_config of {name} removes {key} or changes its type: let it add keys "
                        "of other names, and set this one in the config file"
                    )


def user_object(name: str) -> Any:
    """Return what an imported module, or a module of an imported package, defines.

    Args:
        name: ``"my_ideas.darken"``.

    Raises:
        ValueError: if the module was not imported by `import_modules`, has no such name, or has a
            function or a class of another module under it (``from os import system``), which a
            config could call as the user never meant.
    """
    module_name, _, attribute = name.rpartition(".")
    module = sys.modules.get(module_name)
    if module is None or not _is_of_user(module_name):
        imported = ", ".join(module.__name__ for module in _imported.values()) or "none"
        raise ValueError(
            f"{name} is in no imported module ({imported}): write MODULE.NAME and add --import "
            "with this module or its .py file"
        )
    if attribute not in vars(module):
        near = near_names(attribute, [key for key in vars(module) if not key.startswith("_")])
        raise ValueError(f"{module_name} has no {attribute}{near}")
    found = vars(module)[attribute]
    if inspect.isclass(found) or inspect.isroutine(found):
        home = str(getattr(found, "__module__", None))
        if not _is_of_user(home):
            raise ValueError(
                f"{name} is defined in {home}: name it by {home}, with --import {home} if that is "
                "a module of yours"
            )
    return found


def _is_of_user(module_name: str) -> bool:
    return any(f"{module_name}.".startswith(f"{module.__name__}.") for module in _imported.values())


def _key(given: str) -> str:
    return os.path.realpath(given) if given.endswith(".py") else given


def _find(given: str) -> ModuleSpec:
    """Return the place of a module, after its folder was put on the path."""
    folder, name, file = os.getcwd(), given, None
    if given.endswith(".py"):
        file = Path(_key(given))
        if not file.is_file():
            raise FileNotFoundError(f"--import {given}: there is no such file")
        folder, name = str(file.parent), file.stem
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"--import {given}: give the name of a module, or a file such as ideas.py")
    try:
        spec = find_spec(name)
        if spec is None and folder not in sys.path:
            sys.path.append(folder)
            importlib.invalidate_caches()
            spec = find_spec(name)
    except (Exception, SystemExit) as error:  # A package is imported to find what is in it.
        raise ValueError(f"{given} cannot be imported: {_place(error, folder)}") from error
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"--import {given}: there is no such module, neither installed nor in {folder}"
        )
    if file and os.path.realpath(spec.origin) != str(file):
        raise ValueError(
            f"--import {given}: {spec.origin} is the module of this name already: rename the file"
        )
    return spec


def _place(error: BaseException, folder: str) -> str:
    """Return an error in words, after the last line of a file below ``folder`` that led to it."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    outside = [frame for frame in frames if os.path.realpath(frame.filename) != __file__]
    own = [frame for frame in outside if folder and frame.filename.startswith(folder)] or outside
    return f"{own[-1].filename}, line {own[-1].lineno}: {text}" if own else text
