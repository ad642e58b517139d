"""Writers of metrics and pictures for Weights & Biases and MLflow (``LOGGERS``)."""

import importlib.util
import os
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage

from vt_seg.config import default_config
from vt_seg.config_file import flat_keys
from vt_seg.files import write_atomically

from .random_state import random_state_kept

_WINDOW = 20  # iterations over which losses are smoothed, as by Detectron2's writers
_PROJECT = "vt_seg"


class RunLogger(EventWriter):
    """Sends what is new in the event storage to a run, which a resumed training goes on with.

    The run has the name of ``OUTPUT_DIR`` and the config. Its identity is kept there in a file. It
    is opened at the first ``write``.
    """

    package: ClassVar[str]

    def __init__(self, cfg: CfgNode, is_finished: Callable[[], bool]) -> None:
        """Create it; ``is_finished`` says at its end whether training came to its own."""
        self._folder = os.path.abspath(cfg.OUTPUT_DIR)
        self._name = os.path.basename(self._folder)
        self._cfg = cfg
        self._is_finished = is_finished
        self._last_write = -1

    def write(self) -> None:
        """Send the scalars that were put since the last call, and all pictures in the storage."""
        storage = get_event_storage()
        scalars: dict[int, dict[str, float]] = defaultdict(dict)
        for name, (value, iteration) in storage.latest_with_smoothing_hint(_WINDOW).items():
            if iteration > self._last_write:
                scalars[iteration][name] = value
        pictures: dict[int, dict[str, np.ndarray]] = defaultdict(dict)
        # TensorboardXWriter reads the same attribute, and removes the pictures.
        for name, picture, iteration in storage._vis_data:
            pictures[iteration][name] = np.asarray(picture).transpose(1, 2, 0)
        with random_state_kept():
            for iteration in sorted({*scalars, *pictures}):
                self._send(iteration, scalars[iteration], pictures[iteration])
                self._last_write = max(self._last_write, iteration)

    def close(self) -> None:
        """End the run, as finished or as stopped."""
        if "_run" in vars(self):
            self._end(self._is_finished())

    def _send(
        self, iteration: int, scalars: Mapping[str, float], pictures: Mapping[str, np.ndarray]
    ) -> None:
        """Send scalars and pictures ``(H, W, 3)``, RGB, uint8, of an iteration."""
        raise NotImplementedError

    def _end(self, is_finished: bool) -> None:
        raise NotImplementedError

    @property
    def _identity_file(self) -> str:
        return os.path.join(self._folder, f"{type(self).__name__}.txt")

    def _identity(self) -> str:
        """Return what an earlier training in this folder kept, or ""."""
        if not os.path.isfile(self._identity_file):
            return ""
        with open(self._identity_file, encoding="utf-8", errors="replace") as file:
            return re.sub(r"[^\w-]", "", file.read())[:64]

    def _keep_identity(self, identity: str) -> str:
        write_atomically(self._identity_file, identity.encode())
        return identity


class WandbLogger(RunLogger):
    """A run of Weights & Biases; ``WANDB_MODE=offline`` needs no account.

    The horizontal axis is "iteration", since W&B's own steps cannot go back, and a run that is
    resumed from an earlier checkpoint does.
    """

    package = "wandb"

    @cached_property
    def _run(self) -> Any:
        folder = os.environ.get("WANDB_DIR") or self._folder
        # Where it keeps its own logs and what it uploads: in the home folder by default.
        os.environ.setdefault("WANDB_CACHE_DIR", os.path.join(folder, "wandb", "cache"))
        os.environ.setdefault("WANDB_DATA_DIR", os.path.join(folder, "wandb", "data"))
        import wandb

        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _PROJECT,
            name=self._name,
            id=self._identity() or self._keep_identity(uuid.uuid4().hex[:16]),
            resume="allow",
            dir=folder,
            settings=wandb.Settings(console="off"),
        )
        run.config.update(dict(flat_keys(self._cfg)), allow_val_change=True)
        run.define_metric("*", step_metric="iteration")
        return run

    def _send(
        self, iteration: int, scalars: Mapping[str, float], pictures: Mapping[str, np.ndarray]
    ) -> None:
        run = self._run
        import wandb

        images = {name: wandb.Image(picture) for name, picture in pictures.items()}
        run.log({"iteration": iteration, **scalars, **images})

    def _end(self, is_finished: bool) -> None:
        self._run.finish(exit_code=0 if is_finished else 1)


class MLflowLogger(RunLogger):
    """A run of MLflow, in ``OUTPUT_DIR/mlruns`` unless ``MLFLOW_TRACKING_URI`` names a server.

    Its parameters are the keys that differ from the defaults, and ``config.yaml`` is an artifact.
    """

    package = "mlflow-skinny"

    @cached_property
    def _client(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            # Files need no database; MLflow 3 wants to be told that they are meant.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = f"file://{self._folder}/mlruns"
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=uri)

    @cached_property
    def _run(self) -> str:
        client, identity = self._client, self._identity()
        if identity:
            client.update_run(identity, status="RUNNING")
        else:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _PROJECT
            experiment = client.get_experiment_by_name(name)
            number = experiment.experiment_id if experiment else client.create_experiment(name)
            created = client.create_run(number, run_name=self._name).info.run_id
            identity = self._keep_identity(created)
            defaults = dict(flat_keys(default_config()))
            for key, value in flat_keys(self._cfg):
                if key not in defaults or defaults[key] != value:
                    client.log_param(identity, key, str(value)[:500])
        client.log_text(identity, self._cfg.dump(), "config.yaml")
        return identity

    def _send(
        self, iteration: int, scalars: Mapping[str, float], pictures: Mapping[str, np.ndarray]
    ) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_allowed(k), value, now, iteration) for k, value in scalars.items()]
        for start in range(0, len(metrics), 1000):  # the most that a server takes at once
            self._client.log_batch(self._run, metrics[start : start + 1000])
        for name, picture in pictures.items():
            self._client.log_image(self._run, picture, key=_allowed(name), step=iteration)

    def _end(self, is_finished: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if is_finished else "KILLED")


LOGGERS: dict[str, type[RunLogger]] = {"wandb": WandbLogger, "mlflow": MLflowLogger}


def is_installed(module: str) -> bool:
    """Return True if a package can be imported; a folder of that name, as W&B makes, is none."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def _allowed(name: str) -> str:
    """Return the name of a metric with the characters that MLflow takes, others being "_"."""
    return re.sub(r"[^\w\-. /]", "_", name)
