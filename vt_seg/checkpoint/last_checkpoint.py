"""The file ``last_checkpoint``, a hint to the checkpoint that a run goes on from."""

import logging
import os

from .reading import CheckpointError, require_readable_file

logger = logging.getLogger(__name__)

_LONGEST = 4096


def last_checkpoint(folder: str) -> str:
    """Return the path of the checkpoint that ``folder/last_checkpoint`` names, "" without one.

    Whether that file is there and whole is not looked at. A hint that cannot be followed is
    ignored with a warning, since the checkpoints in the folder can be found without it: a
    ``last_checkpoint`` that is no regular file or cannot be read, and a name that leads out of the
    folder (a path, or a link to a file elsewhere).
    """
    tag = os.path.join(folder, "last_checkpoint")
    if not os.path.lexists(tag):
        return ""
    try:
        require_readable_file(tag)
    except CheckpointError as error:
        logger.warning("last_checkpoint is ignored: %s", error)
        return ""
    with open(tag, encoding="utf-8", errors="replace") as file:
        name = file.read(_LONGEST).strip()
    if not name:
        return ""
    path = os.path.join(folder, name)
    if name != os.path.basename(name) or "\0" in name or not _inside(path, folder):
        logger.warning(
            "%s: last_checkpoint leads out of the folder (%s) and is ignored.", folder, name[:200]
        )
        return ""
    return path


def _inside(path: str, folder: str) -> bool:
    return os.path.dirname(os.path.realpath(path)) == os.path.realpath(folder)
