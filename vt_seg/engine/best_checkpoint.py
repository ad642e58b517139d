"""The best checkpoint by a metric of the evaluations, and early stopping by the same metric."""

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence

from detectron2.config import CfgNode
from detectron2.engine.hooks import BestCheckpointer
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from vt_seg.evaluation import PER_CLASS
from vt_seg.files import parse_json, read_text, write_atomically
from vt_seg.near_names import near_names

from .checkpoint_hook import CheckpointHook

logger = logging.getLogger(__name__)

BEST = "model_best"
HISTORY_FILE = "best_metric.json"
SMALLER_IS_BETTER = ("loss", "ECE")  # last parts of names of metrics


class TrainingStoppedEarly(BaseException):
    """Leaves Detectron2's training loop, which logs any ``Exception`` as an error."""


class MetricHistory:
    """The values of a metric by iteration, kept in a file that is complete at any time.

    Checkpoints cannot hold them: one is written before the evaluation of its iteration.
    """

    def __init__(self, folder: str, metric: str) -> None:
        self.path = os.path.join(folder, HISTORY_FILE)
        self.metric = metric
        self.sign = -1 if metric.rpartition("/")[2] in SMALLER_IS_BETTER else 1
        self.values: dict[int, float] = {}

    def load(self, before: int) -> None:
        """Read the values of iterations below ``before``; warn of a file that cannot be used."""
        if not os.path.lexists(self.path):
            return
        problem = "it is of another metric or damaged"
        try:
            content = parse_json(read_text(self.path), self.path)
            if content["metric"] == self.metric:
                pairs = [(int(iteration), float(value)) for iteration, value in content["values"]]
                self.values = {iteration: value for iteration, value in pairs if iteration < before}
                return
        except (ArithmeticError, KeyError, OSError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        logger.warning(
            "%s does not have the values of %s (%s): the next evaluation counts as the best so "
            "far and replaces %s.pth; move that file away to keep it.",
            *(self.path, self.metric, problem, BEST),
        )

    def add(self, iteration: int, value: float) -> bool:
        """Add a value; return True if it is better than all before it."""
        best = self.best
        self.values[iteration] = value
        return math.isfinite(value) and (
            best is None or self.sign * value > self.sign * self.values[best]
        )

    def save(self) -> None:
        """Write the file, or raise OSError."""
        content = {"metric": self.metric, "values": list(self.values.items())}
        write_atomically(self.path, json.dumps(content).encode())

    @property
    def best(self) -> int | None:
        """The first iteration with the best finite value."""
        finite = [i for i, value in self.values.items() if math.isfinite(value)]
        return max(finite, key=lambda i: self.sign * self.values[i], default=None)

    @property
    def worse_since_best(self) -> int:
        """Number of evaluations after the best; 0 while none was finite."""
        best = self.best
        return sum(best is not None and iteration > best for iteration in self.values)

    def describe_best(self) -> str:
        """Return the best value and its iteration in words."""
        best = self.best
        return "no finite value" if best is None else f"{self.values[best]:.4f}, iteration {best}"


class BestCheckpointHook(BestCheckpointer):
    """Detectron2's hook for all processes, with a history that a resumed run goes on with.

    It writes ``model_best.pth``, from which a run can be resumed as from any checkpoint, and, with
    ``patience``, ends the training after as many evaluations without a better value. It belongs
    behind the hooks that evaluate.
    """

    def __init__(
        self, checkpoints: CheckpointHook, period: int, metric: str, patience: int = 0
    ) -> None:
        """Create the hook for evaluations every ``period`` iterations.

        ``metric`` is a scalar in the event storage, as "sem_seg/mIoU", larger ones being better but
        for losses and calibration errors. Training ends after ``patience`` evaluations without a
        better one; 0 is off.
        """
        self._history = MetricHistory(checkpoints.checkpointer.save_dir, metric)
        mode = "max" if self._history.sign > 0 else "min"
        super().__init__(period, checkpoints.checkpointer, metric, mode, BEST)
        self._checkpoints = checkpoints
        self._patience = patience
        self.has_stopped_training = False

    def resume(self, start_iter: int, max_iter: int) -> bool:
        """Read the history; return True, with a log line, if it says that training was stopped."""
        if comm.is_main_process():
            self._history.load(before=start_iter)
        # Processes need not see the same files; the main one decides.
        self._history.values = comm.all_gather(self._history.values)[0]
        stopped = (
            0 < self._patience <= self._history.worse_since_best
            and start_iter - 1 in self._history.values
            and start_iter < max_iter
        )
        if stopped:
            logger.info(
                "This run was stopped early after iteration %d (%s): it is only evaluated. "
                "TEST.PATIENCE 0, or more than %d, trains on.",
                *(start_iter - 1, self._describe(), self._history.worse_since_best),
            )
        return stopped

    def lacks_evaluation(self, iteration: int) -> bool:
        """Return True if the evaluation after an iteration was due and is not in the history."""
        due = self._period > 0 and iteration >= 0 and (iteration + 1) % self._period == 0
        return due and iteration not in self._history.values

    def _best_checking(self) -> None:
        """Add the value of the evaluation, save the best and stop; Detectron2 calls this."""
        trainer = self.trainer
        ended = trainer.iter >= trainer.max_iter
        iteration = min(trainer.iter, trainer.max_iter - 1)
        if iteration in self._history.values:  # the last one again, of a run that was resumed
            return
        new = comm.all_gather(self._new_scores())[0]
        if not new:
            return  # a full disk has prevented the evaluation
        if self._val_metric not in new:
            if not ended:
                self._checkpoints.save_now()
            message = _unknown_metric(self._val_metric, list(new))
            raise ValueError(f"{message}; --resume continues from iteration {iteration}")
        value = new[self._val_metric]
        if not math.isfinite(value) and comm.is_main_process():
            logger.warning(
                "TEST.BEST_METRIC %s is %s at iteration %d: it has no pixel to be computed from, "
                "or training has diverged (SOLVER.BASE_LR). It counts as no improvement.",
                *(self._val_metric, value, iteration),
            )
        error = self._checkpoints.save_as(BEST) if self._history.add(iteration, value) else ""
        if error and comm.is_main_process():
            logger.error("%s Training goes on without it.", error)
        if comm.is_main_process():
            try:
                self._history.save()
            except OSError as error:
                logger.error("%s could not be written (%s).", self._history.path, error)
            logger.info("%s.pth: %s", BEST, self._describe())
        is_over = 0 < self._patience <= self._history.worse_since_best
        if is_over and iteration + 1 < trainer.max_iter:
            logger.info("Training stops early after iteration %d: %s.", iteration, self._describe())
            self._checkpoints.save_final_now()
            self.has_stopped_training = True
            raise TrainingStoppedEarly

    def _new_scores(self) -> dict[str, float]:
        """Return what the evaluations put in this iteration; it is not smoothed."""
        storage = self.trainer.storage
        is_smoothed = storage.smoothing_hints()
        return {
            name: value
            for name, (value, iteration) in storage.latest().items()
            if iteration == storage.iter and not is_smoothed[name]
            if "/" in name and not name.startswith("vt/")
        }

    def _describe(self) -> str:
        worse = self._history.worse_since_best
        since = f", none better in the {worse} evaluation(s) since" if worse else ""
        return f"best {self._val_metric} {self._history.describe_best()}{since}"


def check_best_metric(cfg: CfgNode, evaluators: Mapping[str, DatasetEvaluator]) -> None:
    """Raise ValueError if no evaluation gives ``TEST.BEST_METRIC``, as far as that is known.

    Metrics of evaluators, by dataset, without ``score_names`` are known after an evaluation only.
    """
    metric = cfg.TEST.BEST_METRIC
    if not metric or not all(hasattr(one, "score_names") for one in evaluators.values()):
        return
    names: list[str] = []
    for dataset, evaluator in evaluators.items():
        prefix = f"{dataset}/" if len(evaluators) > 1 else ""
        scores = [*evaluator.score_names(), *(["val/loss"] if cfg.TEST.LOSS else [])]
        for suffix in ("", "_EMA") if cfg.SOLVER.EMA.ENABLED else ("",):
            names += [f"{prefix}{score}".replace("/", f"{suffix}/", 1) for score in scores]
    if metric not in names:
        raise ValueError(_unknown_metric(metric, names))


def _unknown_metric(metric: str, names: Sequence[str]) -> str:
    """Return the message, which lists the names but for those of single classes."""
    of_classes = [name for name in names if name.rpartition("/")[2].startswith(PER_CLASS)]
    others = ", ".join(name for name in names if name not in of_classes)
    classes = f", or that of a class, such as {of_classes[0]}" if of_classes else ""
    hint = near_names(metric, names, most=1)
    return f'TEST.BEST_METRIC is "{metric}"{hint}: use one of {others}{classes}'
