"""The file ``last_checkpoint``, which names the checkpoint that a run goes on from."""

import os

from .reading import CheckpointError, require_regular_file

_LONGEST = 4096


def last_checkpoint(folder: str) -> str:
    """Return the path of the checkpoint that ``folder/last_checkpoint`` names, "" without one.

    Whether that file is there and whole is not looked at.

    Raises:
        CheckpointError: if the name leads out of the folder: a path, or a link to a file elsewhere.
    """
    tag = os.path.join(folder, "last_checkpoint")
    if not os.path.lexists(tag):
        return ""
    require_regular_file(tag)
    with open(tag, encoding="utf-8", errors="replace") as file:
        name = file.read(_LONGEST).strip()
    path = os.path.join(folder, name)
    inside = os.path.dirname(os.path.realpath(path)) == os.path.realpath(folder)
    if name != os.path.basename(name) or "\0" in name or (name and not inside):
        raise CheckpointError(
            f"{tag} names {name[:200]!r}, which is no file of that folder: write the name of one "
            "of its checkpoints there, or name the file itself as MODEL.WEIGHTS"
        )
    return path if name else ""
