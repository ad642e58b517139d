#!/usr/bin/env python
"""Train or evaluate a model, with Detectron2's flags.

    python tools/train_net.py --config-file configs/vtfpn_R18_scenes.yaml
    python tools/train_net.py --config-file configs/vtfpn_R50_cocostuff.yaml --num-gpus 8
    ... --resume                                  go on from the newest whole checkpoint
    ... --eval-only MODEL.WEIGHTS FILE            evaluate only
    ... SOLVER.IMS_PER_BATCH 8 OUTPUT_DIR out     override any key of the config

Without a GPU it trains on the CPU, in one process. SIGTERM and Ctrl-C end training after the
iteration, with a checkpoint and exit code 143 or 130; a second one ends it at once.
"""

import argparse
import sys

import vt_seg  # noqa: F401  (registers models and datasets; first, as it quiets Detectron2)

# isort: split
from detectron2.engine import default_argument_parser, launch
from torch.multiprocessing import ProcessExitedException

from vt_seg.command_line import errors_as_messages
from vt_seg.engine import Trainer, evaluate, processes_per_machine, setup_cfg
from vt_seg.engine.interruption import signals_for_children


def main(args: argparse.Namespace) -> object:
    with errors_as_messages():
        cfg = setup_cfg(args)
        if args.eval_only:
            # `MODEL.WEIGHTS ""` is typed on purpose; the default of a config is not.
            allowed = "MODEL.WEIGHTS" in args.opts[::2]
            return evaluate(cfg, resume=args.resume, allow_random_weights=allowed)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    parser = default_argument_parser(epilog=__doc__)
    args = parser.parse_args()
    if not args.config_file:
        parser.error("--config-file is needed, e.g. --config-file configs/vtfpn_R18_scenes.yaml")
    try:
        num_processes, note = processes_per_machine(
            args.num_gpus, args.num_machines, args.machine_rank
        )
    except ValueError as error:
        parser.error(str(error))
    if note:
        print(note)
    try:
        with signals_for_children(num_processes):
            launch(
                main,
                num_processes,
                num_machines=args.num_machines,
                machine_rank=args.machine_rank,
                dist_url=args.dist_url,
                args=(args,),
            )
    except ProcessExitedException as error:
        if error.exit_code < 0:  # killed by a signal
            raise
        sys.exit(error.exit_code)  # one of several processes, which has said why
