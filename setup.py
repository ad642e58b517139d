import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
README = ROOT / "README.md"
PACKAGE = (ROOT / "vt_seg" / "__init__.py").read_text(encoding="utf-8")

setup(
    name="vt_seg",
    version=re.search(r'__version__ = "(.+)"', PACKAGE).group(1),
    description="Visual Transformers for semantic segmentation: VT-FPN and VT-ResNet in Detectron2",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["vt_seg", "vt_seg.*"]),
    package_data={"vt_seg.visualization": ["*.css", "*.html", "*.js"]},
    python_requires=">=3.10",
    # Ranges for environments that have their own torch; requirements.txt has the tested versions.
    install_requires=[
        # Detectron2 is needed and cannot be listed: it has no release on PyPI, and naming it would
        # make pip look for one. dev/install_detectron2.py installs it; `import vt_seg` says so.
        # OpenCV is needed and left to the extra: its four PyPI packages overwrite one another.
        "fvcore>=0.1.5",
        "numpy>=1.23",
        "pillow>=9.4",
        "rich>=12",
        "safetensors>=0.4",
        # Not ours: Detectron2's model_zoo imports pkg_resources, which setuptools 82 left out.
        "setuptools>=70.1,<82",
        "tabulate>=0.8",
        # The tests of layers and models pass on 2.5.1; on 2.4.1, VT-FPN does not compile.
        "torch>=2.5",
        "torchvision>=0.20",
        "tqdm>=4.60",
    ],
    extras_require={
        "opencv": ["opencv-python-headless>=4.6"],
        # Only datasets/prepare_cocostuff10k.py reads MATLAB files.
        "mat": ["h5py>=3.7", "scipy>=1.9"],
        # Backbones of MODEL.TIMM.
        "timm": ["timm>=1.0"],
        # Only MODEL.CLASSIFIER.DISTILLATION needs timm: the teachers.
        "distill": ["timm>=1.0"],
        # What research/benchmark_models.py compares with, where it is installed.
        "bench": ["segmentation-models-pytorch>=0.4", "transformers>=4.45"],
        "dev": [
            "h5py>=3.7",
            "pytest>=7.4",
            "pytest-xdist>=3.3",
            "ruff>=0.6",
            "scikit-learn>=1.2",
            "scipy>=1.9",
            "timm>=1.0",
        ],
    },
)
