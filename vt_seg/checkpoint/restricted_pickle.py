"""Unpickle weights alone: a few globals may be named, and functions of this file stand for them.

A pickle is a program: it names any importable function and has it called. Detectron2's model zoo
and converted torchvision weights need four functions of NumPy and a few containers. NumPy's own
are not handed out, since a forged dtype makes them read bytes of the file as pointers to objects.
"""

import argparse
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

_NUMBERS = re.compile(r"[<>=|]?([biufc]\d{1,2}|\?)")


class NumberType:
    """A NumPy dtype of plain numbers while it is unpickled."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of dtype {code!r}, which is not of numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        """Set the byte order."""
        _version, byte_order, subtype, names, fields = state[:5]
        if subtype is not None or names is not None or fields is not None:
            raise pickle.UnpicklingError("an array of a structured dtype")
        self.dtype = self.dtype.newbyteorder(byte_order)


class NumberArray(np.ndarray):
    """A NumPy array that takes its values from plain bytes only when it is unpickled."""

    def __new__(cls, *arguments: Any) -> "NumberArray":
        """Ignore the file's arguments, which may be a buffer to read; `__setstate__` follows."""
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: tuple) -> None:
        """Set shape, dtype and values."""
        version, shape, number_type, fortran, values = state
        if not isinstance(number_type, NumberType) or not isinstance(values, bytes | str):
            raise pickle.UnpicklingError("an array of Python objects")
        super().__setstate__((version, shape, number_type.dtype, fortran, _to_bytes(values)))


class Options(argparse.Namespace):
    """The options that timm and others save with the weights: attributes and no more."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set attributes from a dictionary; a tuple could set ``__class__``, too."""
        if type(state) is not dict or not all(isinstance(key, str) for key in state):
            raise pickle.UnpicklingError("an object whose attributes have no names")
        if any(key.startswith("__") for key in state):
            raise pickle.UnpicklingError("an object that replaces methods")
        self.__dict__.update(state)


class Rebuild:
    """A function that a pickle may call and not change.

    A pickle sets attributes of whatever it has a name for, unless that has a `__setstate__`: with
    other `__defaults__` a function would be another one for the rest of the process.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        """Refuse any state."""
        raise pickle.UnpicklingError("an object that changes functions")


def _to_bytes(values: bytes | str) -> bytes:
    # Python 2 wrote bytes as `str`, which the encoding latin1 leaves as they were.
    return values.encode("latin1") if isinstance(values, str) else values


def _empty_array(array_type: type, shape: tuple, code: bytes | str) -> NumberArray:
    return NumberArray()


def _array_from_buffer(
    values: bytes | bytearray, number_type: NumberType, shape: tuple, order: Any
) -> np.ndarray:
    array = np.frombuffer(values, number_type.dtype).reshape(shape, order=order)
    return array.astype(array.dtype.newbyteorder("="))  # a copy, which can be written to


def _number(number_type: NumberType, values: bytes | str) -> np.generic:
    return np.frombuffer(_to_bytes(values), number_type.dtype)[0]


def _latin1_bytes(text: str = "", encoding: str = "latin1") -> bytes:
    """Return bytes as protocols 0 to 2 hold them, without a search for other codecs."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


ALLOWED: dict[str, Callable[..., Any]] = {
    "_codecs.encode": Rebuild(_latin1_bytes),
    "argparse.Namespace": Options,
    "__builtin__.bytes": Rebuild(_latin1_bytes),  # Python 2's names, which protocols 0 to 2 keep
    "__builtin__.set": set,
    "builtins.bytes": Rebuild(_latin1_bytes),
    "builtins.set": set,
    "collections.OrderedDict": OrderedDict,
    "numpy.dtype": NumberType,
    "numpy.ndarray": NumberArray,
}
"""What stands for each global that may be named. Everything else is refused."""

for _core in ("numpy.core", "numpy._core"):  # of NumPy 1 and NumPy 2
    ALLOWED[f"{_core}.multiarray._reconstruct"] = Rebuild(_empty_array)
    ALLOWED[f"{_core}.multiarray.scalar"] = Rebuild(_number)
    ALLOWED[f"{_core}.numeric._frombuffer"] = Rebuild(_array_from_buffer)


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            return ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {module}.{name} ") from None


def load_restricted(file: BinaryIO) -> Any:
    """Return the arrays, numbers, strings and containers in a pickle of Python 2 or 3.

    Raises:
        pickle.UnpicklingError: if it names anything else ("GLOBAL module.name" in the message).
        Exception: of any kind, if the file is damaged or forged; nothing of it was run.
    """
    return _RestrictedUnpickler(file, encoding="latin1").load()
