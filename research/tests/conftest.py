import pytest

from tests.tools.conftest import Runner, out

__all__ = ["out", "scripts"]


@pytest.fixture
def scripts(tmp_path):
    return Runner(tmp_path / "datasets", "research")
