"""The number of calls and files through which one reads from an image to losses and labels."""

import sys

import pytest

from research.trace_calls import load_cpu_cfg, trace, trace_inference, trace_training
from vt_seg.layers import VTFPN

try:
    from vt_seg.inference import optimize
except ImportError:
    optimize = None

CONFIG = "configs/vtfpn_R18_scenes.yaml"


def test_trace_counts_frames_of_vt_seg_alone():
    traced = trace(VTFPN, [8, 16], 32)
    assert traced.files[0] == "layers/vt_fpn.py"
    assert all(name.startswith("layers/") for name in traced.files)
    assert traced.num_calls == sum(traced.calls_by_file.values())
    assert len(traced.calls_by_file) - 1 <= traced.num_changes < traced.num_calls
    assert sys.getprofile() is None


def test_trace_of_a_function_outside_vt_seg_is_empty():
    traced = trace(sorted, [2, 1])
    assert str(traced) == "0 calls, 0 changes of file, 0 files"


@pytest.mark.skipif(optimize is None, reason="the limits are those of the optimized model")
@pytest.mark.parametrize(
    ("traced", "limits"), [(trace_training, (150, 60, 12)), (trace_inference, (200, 80, 14))]
)
def test_model_is_read_in_few_calls_and_files(traced, limits):
    found = traced(load_cpu_cfg(CONFIG))
    numbers = (found.num_calls, found.num_changes, len(found.calls_by_file))
    assert all(number <= limit for number, limit in zip(numbers, limits, strict=True)), (
        f"{found}; at most {limits}: {found.calls_by_file}"
    )
