#!/usr/bin/env python
"""Choose each row's learning rate among the results of `run.py`, and tabulate them.

    python research/photos/learning_rates.py output/photos/lr_* --table output/photos/lr.md

Prints `ROW=LR ...`, as `--base-lr` of `run.py` takes it: the rate of the best mean mIoU over the
seeds, on whichever split the runs were evaluated (val, if the test split is to stay unseen).
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for `research` and `vt_seg`

from research.report_table import ReportTable, Row, titled_tables
from vt_seg.files import write_atomically

Scores = dict[str, dict[float, list[float]]]
"""mIoU of each run by row and learning rate."""


def read_scores(folders: Sequence[str]) -> Scores:
    """Return the scores of all result files ``DATASET_ROW_seedN.json`` in some folders."""
    scores: Scores = defaultdict(lambda: defaultdict(list))
    for path in sorted(p for folder in folders for p in Path(folder).glob("*_seed*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        row = path.stem.rpartition("_seed")[0].partition("_")[2]
        scores[row][float(result["settings"]["SOLVER.BASE_LR"])].append(result["scores"]["mIoU"])
    return scores


def best_rate(scores: dict[float, list[float]]) -> float:
    """Return the learning rate with the best mean over the seeds."""
    return max(scores, key=lambda rate: statistics.mean(scores[rate]))


def rate_table(scores: Scores) -> ReportTable:
    """Return the mean mIoU of each row and learning rate, the best in bold."""
    rates = sorted({rate for by_rate in scores.values() for rate in by_rate})
    rows = []
    for row, by_rate in scores.items():
        best = best_rate(by_rate)
        texts = {rate: f"{statistics.mean(values):.2f}" for rate, values in by_rate.items()}
        texts[best] = f"**{texts[best]}**"
        rows.append(Row((row, *(texts.get(rate, "-") for rate in rates))))
    return ReportTable("Learning rates, mIoU", ("row", *(f"{r:g}" for r in rates)), tuple(rows))


def main() -> None:
    """Print the best rates; warn of those at an end of their list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", help="folders of results of run.py")
    parser.add_argument("--table", metavar="FILE", help="Markdown file to write")
    args = parser.parse_args()
    scores = read_scores(args.folders)
    if not scores:
        sys.exit(f"error: {', '.join(args.folders)}: no result *_seed*.json")
    for row, by_rate in scores.items():
        best = best_rate(by_rate)
        if len(by_rate) > 1 and best in (min(by_rate), max(by_rate)):
            print(f"{row}: the best rate, {best:g}, is at the end of its list", file=sys.stderr)
    if args.table:
        write_atomically(args.table, f"{titled_tables([rate_table(scores)])}\n".encode())
    print(" ".join(f"{row}={best_rate(by_rate):g}" for row, by_rate in scores.items()))


if __name__ == "__main__":
    main()
