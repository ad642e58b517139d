import os
import pickle

import pytest

from tests.engine.conftest import scenes_root, slim_cfg  # noqa: F401  (fixtures


class Payload:
    """Makes a folder when it is unpickled without restriction."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


class Marker:
    """The folder that a payload makes."""

    def __init__(self, path) -> None:
        self.path = path
        self.payload = Payload(str(path))

    def made(self) -> bool:
        """Return True if the code has run; the next one may."""
        if self.path.exists():
            self.path.rmdir()
            return True
        return False


@pytest.fixture
def marker(tmp_path):
    marker = Marker(tmp_path / "code has run")
    pickle.loads(pickle.dumps(marker.payload))
    assert marker.made()  # the payload does what it should
    return marker
