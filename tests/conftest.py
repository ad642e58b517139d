"""What tests of several packages need."""

import logging

import pytest
import torch


@pytest.fixture
def log(caplog):
    """Messages of vt_seg, whether or not its loggers hand them on."""
    logger = logging.getLogger("vt_seg")
    logger.addHandler(caplog.handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
