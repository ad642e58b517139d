"""Export a segmentor to a file, ONNX or PyTorch's, which gets its name once it was checked."""

import copy
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vt_seg.files import write_atomically

from .exportable import ExportableSegmentor, export_program
from .parity import Run, check_parity

FORMATS = {".onnx": "ONNX", ".pt2": "torch.export"}
_METADATA = "vt_seg.json"
_PACKAGES = "onnx, onnxruntime, onnxscript"


def export_model(
    model: nn.Module, path: str, input_format: str, metadata: Mapping[str, str]
) -> str:
    """Export a segmentor in evaluation mode; an earlier file stays unless the new one is right.

    Args:
        model: what :func:`vt_seg.inference.optimize` takes. Of one on a GPU a copy on the
            CPU is exported.
        path: ends in ".onnx", or in ".pt2" for an ``ExportedProgram``.
        input_format: ``INPUT.FORMAT`` of the model.
        metadata: texts that the file carries, see :func:`export_metadata`; "output" says what the
            file gives, "labels" or "logits".

    Returns:
        How well the file agrees with the model, as a sentence.

    Raises:
        ImportError: if a package of the extra ``export`` is missing.
        ParityError: if the file computes something else than the model.
        ValueError: if the path ends otherwise, or the model cannot be exported, or is in training
            mode.
    """
    suffix = format_of(path)
    if suffix == ".onnx":
        import_onnxruntime()
    if model.training:
        raise ValueError("the model is in training mode: call its eval() first")
    if next(model.parameters()).device.type != "cpu":
        model = copy.deepcopy(model).cpu()  # where any machine runs the file, in all of float32
    program = export_program(ExportableSegmentor(model, input_format, metadata["output"]))
    content: bytes
    if suffix == ".onnx":
        content = onnx_bytes(program, metadata)
        run = onnx_run(content)
    else:
        buffer = io.BytesIO()
        extra = {_METADATA: json.dumps(dict(metadata))}
        torch.export.save(program, buffer, extra_files=extra)
        content = buffer.getvalue()
        run = torch_run(content)
    agreement = check_parity(run, model, input_format)
    write_atomically(path, content)
    return agreement


def format_of(path: str) -> str:
    """Return the suffix that says the format of a file that is to be written.

    Raises:
        FileNotFoundError: if its folder is none.
        ValueError: if the suffix is none of ``FORMATS``, or the path is that of a folder.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(f"{key} ({name})" for key, name in FORMATS.items())
        raise ValueError(f"{path}: the name of an exported file ends in one of {known}")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {Path(path).parent}: make it first")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder: name a file")
    return suffix


def onnx_bytes(program: torch.export.ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """Return the content of an ONNX file with the metadata."""
    exported = torch.onnx.export(program, input_names=["images"], verbose=False)
    assert exported is not None
    exported.model.metadata_props.update(metadata)
    for value in (*exported.model.graph.inputs, *exported.model.graph.outputs):
        value.metadata_props.clear()
    exported.model.graph.outputs[0].name = metadata["output"]
    return exported.model_proto.SerializeToString()


def onnx_session(model: str | bytes, threads: int = 0) -> Any:
    """Return onnxruntime's session of a file or its content; 0 threads are one per core."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Its threads would otherwise take the cores of PyTorch's for a while after each run.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_run(model: str | bytes, threads: int = 0) -> Run:
    """Return a function that runs an ONNX file, or its content."""
    session = onnx_session(model, threads)
    return lambda images: session.run(None, {"images": images})[0]


def torch_run(content: bytes) -> Run:
    """Return a function that runs the content of a file of ``torch.export``."""
    module = torch.export.load(io.BytesIO(content)).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run


def import_onnxruntime() -> Any:
    """Return the module; raise ImportError that says how to install what exports need."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"ONNX files need {_PACKAGES}: pip install 'vt_seg[export]' ({error})"
        ) from error
    return onnxruntime
