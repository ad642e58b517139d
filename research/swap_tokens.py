#!/usr/bin/env python
"""Evaluate a trained VT-FPN with the visual tokens of another image: what do tokens tell it?

    python research/swap_tokens.py output/vtfpn_R18_scenes

A run's model is evaluated on its DATASETS.TEST with each image's own tokens, and with those of the
image half the data set away. Where both scores are equal the tokens tell nothing about the image.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tabulate import tabulate
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from vt_seg.command_line import errors_as_messages
from vt_seg.engine.data_loaders import build_test_loader
from vt_seg.evaluation import build_evaluator
from vt_seg.inference import OptimizedSegmentor
from vt_seg.prediction import Predictor

OWN, OTHER = "own tokens", "tokens of another image"


def swapped_scores(folder: str, overrides: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Return the evaluator's scores by the image whose tokens were read.

    Args:
        folder: A run's folder, or another source of :class:`vt_seg.Predictor`.
        overrides: ``KEY VALUE`` over its config.

    Raises:
        ValueError: if the model's tokens cannot be replaced.
    """
    predictor = Predictor(folder, overrides=list(overrides))
    model, cfg = predictor.model, predictor.cfg
    if not isinstance(model, OptimizedSegmentor) or not model.has_replaceable_tokens:
        raise ValueError(f"{folder}: only an optimized VTFPNHead on a plain backbone reads tokens")
    (name,) = cfg.DATASETS.TEST
    records = [record for batch in build_test_loader(cfg, name) for record in batch]
    evaluators = {kind: build_evaluator(cfg, name) for kind in (OWN, OTHER)}
    for evaluator in evaluators.values():
        evaluator.reset()
    for number, record in enumerate(tqdm(records, unit="image")):
        other = records[(number + len(records) // 2) % len(records)]
        for kind, source in ((OWN, record), (OTHER, other)):
            labels = model.logit_maps([record], model.tokens(source))[0].label_map()
            evaluators[kind].process([record], [{"sem_seg": labels}])
    return {kind: evaluator.evaluate()["sem_seg"] for kind, evaluator in evaluators.items()}


def main() -> None:
    """Evaluate and print the scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="DIR", help="a run's folder")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (default: 1)")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="config overrides: KEY VALUE ..."
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with errors_as_messages():
        scores = swapped_scores(args.model, args.opts)
    rows = [[key, scores[OWN][key], scores[OTHER][key]] for key in scores[OWN]]
    print(tabulate(rows, ("", OWN, OTHER), "pipe", floatfmt=".2f"))


if __name__ == "__main__":
    main()
