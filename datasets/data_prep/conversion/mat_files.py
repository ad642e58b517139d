"""Reads COCO-Stuff 10k annotations: MATLAB 7.3 (HDF5) or MATLAB 5, v1.0 or v1.1 of the labels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vt_seg.data.datasets import COCO_STUFF_LABELS
from vt_seg.files import require_regular_file

if TYPE_CHECKING:
    import h5py

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # MATLAB puts its own header before HDF5's
_NEEDS = "{package} is needed to read {path}: pip install {package}"


class MatAnnotation(NamedTuple):
    """What is used of a file: the labels (H, W) uint8 as stored, and their version."""

    labels: np.ndarray
    version: str


def read_mat_annotation(path: str | os.PathLike) -> MatAnnotation:
    """Labels of one image, whatever MATLAB's format; the version follows from their names.

    v1.0 has 172 names (1 unlabelled, 2-172), v1.1 has 182 (0 unlabelled, 1-182). The files of both
    are called alike.

    Raises:
        FileNotFoundError: no such file.
        ImportError: h5py (MATLAB 7.3) or SciPy (MATLAB 5) is missing.
        ValueError: not a regular file, not such a file, truncated, neither 172 nor 182 names, names
            of other classes than expected, or labels that are no ids; names the file.
    """
    require_regular_file(path)
    with open(path, "rb") as file:
        start = file.read(_USER_BLOCK + len(_HDF5_SIGNATURE))
    if _HDF5_SIGNATURE in (start[:8], start[_USER_BLOCK:]):
        labels, names = _read_hdf5(path)
    elif start.startswith(b"MATLAB 5.0"):
        labels, names = _read_matlab5(path)
    else:
        raise ValueError(f"{path} is not a MATLAB file; fetch it again")
    _check_names(names, path)
    return MatAnnotation(_as_ids(labels, path), "1.0" if len(names) == 172 else "1.1")


def _read_hdf5(path: str | os.PathLike) -> tuple[np.ndarray, list[str]]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(_NEEDS.format(path=path, package="h5py")) from error
    try:
        with h5py.File(path, "r") as file:
            # MATLAB stores columns first: what HDF5 hands out is transposed.
            labels = _own_data(file, "S", path).T
            names = [
                _own_data(file, pointer, path).tobytes().decode("utf-16-le")
                for pointer in _own_data(file, "names", path).flat
            ]
    except KeyError as error:
        raise ValueError(f"{path} lacks a field of COCO-Stuff 10k ({error})") from error
    except (OSError, RuntimeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is truncated or no annotation ({error})") from error
    return labels, names


def _own_data(file: h5py.File, place: str | h5py.Reference, path: str | os.PathLike) -> np.ndarray:
    """Return an array of the file; HDF5 could have it read from any other file, or from a pipe."""
    import h5py

    link = file.get(place, getlink=True) if isinstance(place, str) else None
    if link is None or isinstance(link, h5py.HardLink):
        dataset = file[place]
        if not (dataset.external or dataset.is_virtual):
            return dataset[()]
    raise ValueError(f"{path} keeps its data in another file, which is not read; fetch it again")


def _read_matlab5(path: str | os.PathLike) -> tuple[np.ndarray, list[str]]:
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError(_NEEDS.format(path=path, package="scipy")) from error
    try:
        content = scipy.io.loadmat(path, variable_names=["S", "names"])
    except Exception as error:  # SciPy raises what its parser stumbles over
        raise ValueError(f"{path} is truncated or no annotation ({error})") from error
    missing = [field for field in ("S", "names") if field not in content]
    if missing:
        raise ValueError(f"{path} lacks a field of COCO-Stuff 10k ({', '.join(missing)})")
    return content["S"], [str(np.squeeze(name)) for name in content["names"].flat]


def _as_ids(labels: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Labels as uint8; MATLAB keeps them as double, too."""
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"{path}: S has shape {labels.shape}, need (height, width)")
    ids = labels.astype(np.uint8)
    wrong = labels != ids
    if wrong.any():
        raise ValueError(f"{path} holds label {labels[wrong][0]}, need 0 to 182")
    return ids


def _check_names(names: list[str], path: str | os.PathLike) -> None:
    """Tells the version by their number, and refuses another order of the classes.

    Spelling differs between the versions; a name that is not ours proves nothing.
    """
    if len(names) == 172:
        expected = ["unlabeled", *(row.name for row in COCO_STUFF_LABELS if not row.removed)]
    elif len(names) == 182:
        expected = [row.name for row in COCO_STUFF_LABELS]
    else:
        raise ValueError(
            f"{path} has {len(names)} names of classes; COCO-Stuff 10k has 172 (v1.0) or 182 (v1.1)"
        )
    ours = {_plain(name) for name in expected}
    for position, (name, ours_here) in enumerate(zip(names, expected, strict=True), start=1):
        if _plain(name) in ours and _plain(name) != _plain(ours_here):
            raise ValueError(f"{path}: class {position} is {name!r}, need {ours_here!r}")


def _plain(name: str) -> str:
    """Without what the versions spell differently: eye glasses, eyeglasses; desk, desk-stuff."""
    return name.lower().replace(" ", "").removesuffix("-stuff").removesuffix("-things")
