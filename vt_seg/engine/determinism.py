"""``SOLVER.DETERMINISTIC``: a run that repeats bit for bit on one machine."""

import logging
import os
import platform

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

logger = logging.getLogger(__name__)


def make_deterministic(cfg: CfgNode) -> None:
    """Seed all generators and choose deterministic kernels, in the whole process.

    Call it before the model is built. Where PyTorch has no deterministic kernel, it warns and runs
    the other one. Raises ValueError if ``SEED`` is negative, which stands for a random one.
    """
    if cfg.SEED < 0:
        raise ValueError(seed_problem(cfg))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    seed_all_rng(cfg.SEED + comm.get_rank())
    logger.info(
        "SOLVER.DETERMINISTIC: with SEED %d this run repeats bit for bit on this machine (%s), "
        "with PyTorch %s, %d process(es) of %d thread(s) and the same data. It does not with "
        "another processor, GPU, version, or number of threads or processes, nor through "
        "operations that PyTorch's warnings name as not deterministic.",
        *(cfg.SEED, platform.machine(), torch.__version__, comm.get_world_size()),
        torch.get_num_threads(),
    )


def seed_problem(cfg: CfgNode) -> str:
    """Return what is wrong with ``SEED`` in a deterministic run."""
    return (
        f"SEED is {cfg.SEED} where SOLVER.DETERMINISTIC is True, and stands for a random one: set "
        "a number of at least 0"
    )
