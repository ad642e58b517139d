"""The project's configs, each counted once."""

from pathlib import Path

import pytest

from research.paper_tables import PaperModels, paper_tables

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture(scope="session")
def models():
    return PaperModels(CONFIGS)


@pytest.fixture(scope="session")
def tables():
    """All tables by what their title begins with, such as "v1 Table 1"."""
    return {" ".join(table.title.split()[:3]).rstrip(":"): table for table in paper_tables(CONFIGS)}
