#!/usr/bin/env python
"""Train or evaluate a model, with Detectron2's flags.

    python tools/train_net.py --config-file configs/vtfpn_R18_scenes.yaml
    python tools/train_net.py --config-file configs/vtfpn_R50_cocostuff.yaml --num-gpus 8
    torchrun --standalone --nproc-per-node 8 tools/train_net.py --config-file ...
    ... --cpu-processes 2                         train on the CPU, in two processes
    ... --resume                                  continue from the newest whole checkpoint
    ... --eval-only MODEL.WEIGHTS FILE            evaluate only
    ... SOLVER.IMS_PER_BATCH 8 OUTPUT_DIR out     override any key of the config

Without a GPU it trains on the CPU, in one process unless told otherwise. SIGTERM and Ctrl-C end
training after the iteration, with a checkpoint and exit code 143 or 130; a second one ends it at
once. `vt-seg train` is the same.
"""

from vt_seg.cli.train import run as main
from vt_seg.engine import launch

if __name__ == "__main__":
    launch(main, __doc__)
