"""What test_launch.py runs in several processes: tools/train_net.py once for each norm.

torchrun --nproc-per-node 2 tests/engine/launched_training.py FLAGS ROOT NORM[,NORM]
"""

import os
import signal
import sys

from detectron2.engine import HookBase
from detectron2.utils import comm

from tests.small_configs import TINY_SCENES
from tools import train_net
from vt_seg.engine import Trainer, launch

NORMS = {"GN": ("GN", "GN"), "FrozenBN": ("FrozenBN", "GN"), "SyncBN": ("SyncBN", "SyncBN")}


def options(root, norm, *overrides):
    """The overrides of a run: 20 steps of four images."""
    backbone, others = NORMS[norm]
    folder = f"{root}/{{}}"
    data = {"IMAGES": folder.format("images"), "MASKS": folder.format("masks")}
    classes = {"CLASSES": [f"class {i}" for i in range(14)], "NAME": "launched"}
    return [
        *(*TINY_SCENES, "MODEL.SEM_SEG_HEAD.NORM", others, "MODEL.VT_FPN.NORM", others),
        *("MODEL.VT_FPN.TOKEN_CHANNELS", "64", "MODEL.RESNETS.NORM", backbone),
        *("DATASETS.CUSTOM", str([{**data, **classes}]), "DATASETS.TRAIN", "('launched',)"),
        *("DATASETS.TEST", "('launched',)", "SOLVER.MAX_ITER", "20", "SOLVER.BASE_LR", "0.0001"),
        # The gradient of random first layers is large, and jumps where rounding switches a ReLU.
        *("MODEL.BACKBONE.FREEZE_AT", "2", "MODEL.PIXEL_STD", "[58.0, 58.0, 58.0]"),
        *("SOLVER.CHECKPOINT_PERIOD", "8", "SOLVER.EMA.ENABLED", "False"),
        *("OUTPUT_DIR", f"{root}/{os.environ.get('RUN', 'run')}_{norm}", *overrides),
    ]


class Disturbed(HookBase):
    """Kills process 1 after 12 steps, or lets all wait there for a signal from outside."""

    def after_step(self):
        what = os.environ.get("DISTURB", "")
        if self.trainer.iter != 11:
            return
        if what == "kill" and comm.get_rank() == 1:
            if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os.kill(os.getpid(), signal.SIGKILL)
        elif what == "sigterm" and comm.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def build_hooks(trainer, build=Trainer.build_hooks):
    return [Disturbed(), *build(trainer)]


def main(args):
    Trainer.build_hooks = build_hooks
    root, norms, *overrides = args.opts
    for norm in norms.split(","):
        args.opts = options(root, norm, *overrides)
        train_net.main(args)


if __name__ == "__main__":
    sys.argv[1:1] = ["--config-file", "configs/vtfpn_R18_scenes.yaml"]
    launch(main, __doc__)
