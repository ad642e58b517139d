"""`import vt_seg` in a fresh process: quiet, and clear when Detectron2 is not there."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("warn", [(), ("-W", "always"), ("-W", "error::FutureWarning")])
def test_importing_is_quiet(warn):
    done = run_python(*warn, "-c", "import vt_seg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_warning_filters_stay_the_users_and_pytorchs():
    show = "import warnings; print(sorted(map(repr, warnings.filters)))"
    expected = run_python("-W", "always", "-c", f"import torch, torchvision, cv2; {show}").stdout
    assert "'always'" in expected
    assert "TracerWarning" in expected
    assert run_python("-W", "always", "-c", f"import vt_seg; {show}").stdout == expected


def message_of(setup: str) -> str:
    """The message of the ImportError that `import vt_seg` raises after some set-up."""
    code = f"""
import sys
{setup}
try:
    import vt_seg
except ImportError as error:
    assert error.__suppress_context__
    print(error)
"""
    done = run_python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (
            "detectron2",
            "vt_seg needs Detectron2, which is not installed: install your own build, or run "
            f"`{sys.executable} {ROOT}/dev/install_detectron2.py` to add a pure-Python copy",
        ),
        ("fvcore", "Detectron2 is installed, but 'fvcore', which `import detectron2` needs, is n"),
    ],
)
def test_a_missing_package_is_named(module, says):
    assert message_of(f"sys.modules[{module!r}] = None").startswith(says)


def test_a_detectron2_that_does_not_import_says_why(tmp_path):
    package = tmp_path / "detectron2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('_C.so: undefined symbol: abc')\n")
    assert message_of(f"sys.path.insert(0, {str(tmp_path)!r})") == (
        "Detectron2 is installed, but `import detectron2` fails: _C.so: undefined symbol: abc\n"
    )
