"""The layers need nothing but PyTorch: the folder works in a project without Detectron2."""

import subprocess
import sys
from pathlib import Path

import vt_seg

CODE = """
import sys
for name in ("torchvision", "detectron2", "fvcore", "vt_seg"):
    sys.modules[name] = None  # an import of it fails
import torch
import layers
neck = layers.VTFPN([4, 6], 32, layers.VTConfig(num_tokens=2))
print([tuple(y.shape) for y in neck([torch.randn(1, 4, 9, 7), torch.randn(1, 6, 5, 4)])])
"""


def test_layers_import_torch_alone():
    folder = Path(vt_seg.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", "[(1, 32, 9, 7), (1, 32, 5, 4)]\n")
