"""The scripts in examples/, run as users run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def output_of(script: str, *arguments: str, folder: Path) -> str:
    """Run a script of examples/ in another folder and return what it prints."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / script, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_neck_in_pytorch_keeps_sizes_and_lowers_the_loss(tmp_path):
    printed = output_of("neck_in_pytorch.py", folder=tmp_path)
    assert "(2, 256, 23, 30), (2, 256, 12, 15), (2, 256, 6, 8), (2, 256, 3, 4)" in printed
    before, after = (float(x) for x in re.findall(r"the step: (\d\.\d+)", printed))
    assert after < before


def test_head_in_detectron2_learns_to_segment_squares(tmp_path):
    printed = output_of("head_in_detectron2.py", "data", folder=tmp_path)
    (right,) = re.findall(r"^(\d+\.\d)% of the pixels are right$", printed, re.M)
    # Background everywhere would be 83.3 %.
    assert float(right) > 90
    assert (tmp_path / "data" / "output" / "model_final.pth").is_file()
