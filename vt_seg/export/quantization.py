"""Static int8: onnxruntime's quantization of an exported file, calibrated with images."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vt_seg.files import write_atomically

from .files import import_onnxruntime

_OPERATIONS = ("Conv", "MaxPool", "Relu")


def quantize(source: str, path: str, images: Iterable[np.ndarray]) -> int:
    """Write an int8 file of an exported ONNX file; return the number of calibration images.

    Convolutions compute in int8, with a scale per output channel, and so does what lies between
    them in the backbone; tokens, norms and labels stay in float32.

    Args:
        source: an ONNX file in float32.
        path: the file to write.
        images: ``(N, C, H, W)`` uint8, RGB, like those to predict.

    Raises:
        ImportError: if a package of the extra ``export`` is missing.
        ValueError: if there are no images.
    """
    import_onnxruntime()
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    images = iter(images)
    first = next(images, None)
    if first is None:
        raise ValueError("int8 needs images to calibrate with, and there are none")
    reader = _CalibrationImages(chain([first], images))
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = (str(Path(folder, name)) for name in ("prepared", "int8"))
        # Symbolic shapes are not needed, and onnxruntime's cannot follow all of these graphs.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_OPERATIONS, "Add"],
            nodes_to_quantize=_nodes_to_quantize(onnx.load(prepared).graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(quantized)
        given = {prop.key for prop in model.metadata_props}
        for prop in onnx.load(source).metadata_props:
            if prop.key not in given:
                model.metadata_props.add(key=prop.key, value=prop.value)
        write_atomically(path, model.SerializeToString())
    return reader.count


def _nodes_to_quantize(graph: Any) -> list[str]:
    """Return the convolutions and what lies between them: max-pooling, residual sums, ReLU."""
    made_by = {name: node for node in graph.node for name in node.output}
    inside: dict[str, bool] = {}
    for node in graph.node:  # in the order of execution
        sources = [made_by[name].name for name in node.input if name in made_by]
        is_between = bool(sources) and all(inside.get(name, False) for name in sources)
        is_sum = node.op_type == "Add" and len(sources) == 2
        inside[node.name] = node.op_type == "Conv" or (
            is_between and (node.op_type in _OPERATIONS or is_sum)
        )
    return [name for name, chosen in inside.items() if chosen]


class _CalibrationImages:
    """Gives one batch after the other to onnxruntime, which calls ``get_next``."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self.count = 0
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the inputs of the next run, or None."""
        images = next(self._images, None)
        if images is None:
            return None
        self.count += len(images)
        return {"images": images}


logging.getLogger("onnxruntime.quantization").setLevel(logging.ERROR)
