"""Evaluate a trained model on the test datasets of its config, with Detectron2's flags.

    vt-seg evaluate --config-file my_data.yaml                  the newest whole checkpoint
    vt-seg evaluate --config-file my_data.yaml MODEL.WEIGHTS model.pth
    ... DATASETS.TEST "('my_test',)" TEST.AUG.ENABLED True      override any key of the config

The scores go to the log and to OUTPUT_DIR/inference. It is `vt-seg train --eval-only`, and without
MODEL.WEIGHTS `vt-seg train --eval-only --resume`.
"""

from collections.abc import Sequence

from vt_seg.engine import launch

from .train import run


def main(arguments: Sequence[str] = (), prog: str | None = None) -> None:
    """Evaluate in as many processes as the arguments ask for; end with their exit code."""
    flags = ["--eval-only"] if "MODEL.WEIGHTS" in arguments else ["--eval-only", "--resume"]
    launch(run, __doc__, [*flags, *arguments], prog)
