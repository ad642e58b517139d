"""The record beside a folder of converted masks: what made them, so that nothing is mixed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from vt_seg.files import write_atomically
from vt_seg.files import require_regular_file
from .conversion import Conversion


class MixedOutputError(ValueError):
    """The output folder holds something that must not be mixed with what was asked for."""


def manifest_path(output: Path) -> Path:
    """``train2017.conversion.json`` beside ``train2017``."""
    return output.with_name(f"{output.name}.conversion.json")


def manifest_of(conversion: Conversion) -> dict[str, str]:
    """What the manifest of a conversion says. The source's place is relative to the output."""
    source = Path(os.path.relpath(conversion.source.resolve(), conversion.output.resolve()))
    return {**conversion.recipe, "source": source.as_posix()}


def manifest_difference(conversion: Conversion) -> str:
    """How the manifest that is there differs from the one this conversion has; "" if not at all.

    No manifest is no difference.

    Raises:
        MixedOutputError: the manifest cannot be read.
    """
    path = manifest_path(conversion.output)
    if not path.exists():
        return ""
    try:
        require_regular_file(path)
        known = json.loads(path.read_text(encoding="utf-8"))
        differs = [
            f"{key}: {known.get(key)!r}, now {value!r}"
            for key, value in manifest_of(conversion).items()
            if known.get(key) != value
        ]
    except (ValueError, AttributeError) as error:
        raise MixedOutputError(
            f"{path} cannot be read ({error}); move it and {conversion.output} away"
        ) from error
    return "; ".join(differs)


def claim_output(conversion: Conversion) -> None:
    """Refuses a folder that something else made; else records what will make it.

    Raises:
        MixedOutputError: another recipe or source made the folder, or nothing says what did, or
            the source lies in it or was itself made by a conversion that must not be repeated.
    """
    output, source = conversion.output.resolve(), conversion.source.resolve()
    if output == source or output in source.parents or source in output.parents:
        raise MixedOutputError(f"output {output} and source {source} must be apart")
    if conversion.recipe["from"] != "train-ids" and manifest_path(source).exists():
        raise MixedOutputError(
            f"{source} is the output of a conversion itself, see {manifest_path(source)}; give the "
            "masks as distributed"
        )
    path = manifest_path(conversion.output)
    difference = manifest_difference(conversion)
    if difference:
        hint = ""
        if difference.startswith("source: "):
            wanted = manifest_of(conversion)["source"]
            hint = f'. If it is the same source, moved, set "source" to "{wanted}" in {path}'
        raise MixedOutputError(
            f"{conversion.output} was made otherwise ({difference}). Move it and {path.name} away "
            f"yourself, or keep it; nothing was changed{hint}"
        )
    if path.exists():
        return
    if any(file.suffix == ".png" for file in conversion.output.rglob("[!.]*")):
        raise MixedOutputError(
            f"{conversion.output} holds masks, but no {path.name} beside it says what made them. "
            "--check tells whether they are what would be written; to make them anew, move them "
            "away yourself. Nothing was changed"
        )
    text = json.dumps(manifest_of(conversion), indent=2) + "\n"
    write_atomically(path, text.encode())
