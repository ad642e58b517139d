"""These tests compare a GPU with the CPU; they are skipped where PyTorch finds no GPU.

``VT_SEG_TEST_DEVICE=cpu`` runs them on the CPU, which tests the tests alone.
"""

import os

import pytest
import torch

from tests.engine.conftest import scenes_cfg, scenes_root, slim_cfg  # noqa: F401  (fixtures)

DEVICE = os.environ.get("VT_SEG_TEST_DEVICE", "cuda")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # PyTorch reads it once in a process
FLOAT16 = pytest.param(
    "float16", marks=pytest.mark.skipif(DEVICE == "cpu", reason="float16 needs a GPU")
)


@pytest.fixture(scope="session", autouse=True)
def device():
    """The device, whose products of float32 are not rounded to TF32."""
    if DEVICE.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield DEVICE
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture
def cfg(slim_cfg, device):  # noqa: F811
    """A VT-FPN on a slim ResNet-50 with tiny scenes, on the device."""
    slim_cfg.MODEL.DEVICE = device
    slim_cfg.MODEL.META_ARCHITECTURE = "PaddingAwareSegmentor"
    return slim_cfg
