"""Rows of an ablation: configs that inherit a base of the same folder and change a few keys."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vt_seg.config_file import flat_keys, read_yaml


@dataclass(frozen=True)
class AblationRow:
    """One config of an ablation.

    Attributes:
        config_file: Path of the config.
        base_file: The config of the same folder that it inherits and is compared with; None where
            it is a base itself.
        changes: The keys that it sets itself, ``{"MODEL.VT_RESNET.MIXER": "none"}``.
    """

    config_file: str
    base_file: str | None
    changes: dict[str, Any]

    @property
    def name(self) -> str:
        """Return the file's name, without ``.yaml``."""
        return Path(self.config_file).stem

    @property
    def base(self) -> str | None:
        """Return the base's name."""
        return None if self.base_file is None else Path(self.base_file).stem


def read_row(config_file: str) -> AblationRow:
    """Return the base of a config and what it changes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read safely, or is not a mapping of keys.
    """
    keys = read_yaml(config_file)
    if not isinstance(keys, dict):
        raise ValueError(f"{config_file} is not a config: its YAML is no mapping of keys")
    base = keys.pop("_BASE_", None)
    folder = os.path.dirname(config_file)
    is_sibling = isinstance(base, str) and not os.path.dirname(base)
    return AblationRow(
        config_file, os.path.join(folder, base) if is_sibling else None, dict(flat_keys(keys))
    )


def read_rows(config_files: Sequence[str]) -> list[AblationRow]:
    """Return the rows of configs and of their bases: base by base, each followed by its rows.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is no config, a base has a base itself, or two files have one name.
    """
    rows: dict[str, AblationRow] = {}
    for config_file in config_files:
        row = read_row(config_file)
        base = row if row.base_file is None else read_row(row.base_file)
        if base.base_file is not None:
            raise ValueError(
                f"{row.config_file} inherits {base.config_file}, which inherits {base.base_file}: "
                "let a row inherit the base that it is compared with"
            )
        for needed in (base, row):
            known = rows.setdefault(needed.name, needed)
            if not os.path.samefile(known.config_file, needed.config_file):
                raise ValueError(
                    f"{known.config_file} and {needed.config_file} have the same name, and so the "
                    "same row and folder: rename one"
                )
    bases = sorted((row for row in rows.values() if row.base is None), key=lambda row: row.name)
    return [r for base in bases for r in (base, *(x for x in rows.values() if x.base == base.name))]
