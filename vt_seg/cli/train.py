"""Train a model, with Detectron2's flags.

    vt-seg train --config-file configs/vtfpn_R18_scenes.yaml
    vt-seg train --config-file vtfpn_R50_cocostuff --num-gpus 8
    torchrun --standalone --nproc-per-node 8 --no-python vt-seg train --config-file ...
    ... --cpu-processes 2                         train on the CPU, in two processes
    ... --resume                                  continue from the newest whole checkpoint
    ... --eval-only MODEL.WEIGHTS FILE            evaluate only
    ... SOLVER.IMS_PER_BATCH 8 OUTPUT_DIR out     override any key of the config

Without a GPU it trains on the CPU, in one process unless told otherwise. SIGTERM and Ctrl-C end
training after the iteration, with a checkpoint and exit code 143 or 130; a second one ends it at
once.
"""

import argparse
from collections.abc import Sequence

from vt_seg.command_line import errors_as_messages
from vt_seg.engine import Trainer, evaluate, launch, setup_cfg


def run(args: argparse.Namespace) -> object:
    """Train or evaluate, in one of the processes."""
    with errors_as_messages():
        cfg = setup_cfg(args)
        if args.eval_only:
            # `MODEL.WEIGHTS ""` is typed on purpose; the default of a config is not.
            allowed = "MODEL.WEIGHTS" in args.opts[::2]
            return evaluate(cfg, resume=args.resume, allow_random_weights=allowed)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Start the processes; end with their exit code."""
    launch(run, __doc__, arguments, prog)
