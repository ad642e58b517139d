"""Removing old periodic checkpoints, once a newer one is there that a run can be resumed from."""

import logging
import os

from vt_seg.checkpoint import CheckpointError

from .run_folder import numbered_checkpoints, whole_checkpoint

logger = logging.getLogger(__name__)


def remove_old_checkpoints(folder: str, iteration: int, *, period: int, kept: int) -> None:
    """Remove the periodic checkpoints before the last ``kept`` ones.

    Only names of multiples of ``period`` count: those of interrupted runs, ``model_final.pth`` and
    ``model_best.pth`` stay, and so do checkpoints of later iterations. Nothing is removed if the
    one of ``iteration``, read again, is not whole or not finite: then an older one may be needed.
    """
    numbers = {
        number: name
        for name, number in numbered_checkpoints(folder).items()
        if number <= iteration and (number + 1) % period == 0
    }
    old = sorted(numbers)[:-kept]
    if not old:
        return
    newest = whole_checkpoint(os.path.join(folder, numbers[max(numbers)]))
    if isinstance(newest, CheckpointError):
        logger.error("Older checkpoints are kept: %s", newest)
        return
    for number in old:
        path = os.path.join(folder, numbers[number])
        try:
            os.remove(path)
        except OSError as error:
            logger.warning("%s could not be removed: %s", path, error)
