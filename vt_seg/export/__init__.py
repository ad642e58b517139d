"""Export segmentors to files that run without vt_seg: ONNX and torch.export."""

from .exportable import MIN_SIDE, OUTPUTS, ExportableSegmentor, export_program
from .files import FORMATS, export_model, format_of, onnx_run
from .label_maps import label_maps
from .metadata import export_metadata
from .onnx_segmentor import OnnxSegmentor
from .parity import ParityError, check_parity
from .quantization import quantize

__all__ = [
    "FORMATS",
    "MIN_SIDE",
    "OUTPUTS",
    "ExportableSegmentor",
    "OnnxSegmentor",
    "ParityError",
    "check_parity",
    "export_metadata",
    "export_model",
    "export_program",
    "format_of",
    "label_maps",
    "onnx_run",
    "quantize",
]
