"""The manifest next to a folder of masks: what made them, so that nothing is mixed."""

import json
import os
from pathlib import Path

from vt_seg.files import require_regular_file, write_atomically

from .conversion import Conversion


class MixedOutputError(ValueError):
    """The output folder contains files that must not be mixed with those of the conversion."""


def manifest_path(output: Path) -> Path:
    """Return the manifest's path: ``train2017.conversion.json`` next to ``train2017``."""
    return output.with_name(f"{output.name}.conversion.json")


def manifest_of(conversion: Conversion) -> dict[str, str]:
    """Return the manifest of a conversion. The source's path is relative to the output."""
    source = Path(os.path.relpath(conversion.source.resolve(), conversion.output.resolve()))
    return {**conversion.recipe, "source": source.as_posix()}


def manifest_difference(conversion: Conversion) -> str:
    """Return how the existing manifest differs from the conversion's; "" if it does not.

    A missing manifest does not differ.

    Raises:
        MixedOutputError: if the manifest cannot be read.
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
    """Record what makes the output folder, unless something else made it.

    Raises:
        MixedOutputError: if another recipe or source made the folder, no manifest tells what made
            its masks or lists, or the source lies in it or is itself the output of a conversion.
    """
    output, source = conversion.output.resolve(), conversion.source.resolve()
    if output == source or output in source.parents or source in output.parents:
        raise MixedOutputError(f"output {output} and source {source} must be separate folders")
    if conversion.recipe["from"] != "train-ids" and manifest_path(source).exists():
        raise MixedOutputError(
            f"{source} is itself the output of a conversion, see {manifest_path(source)}; use the "
            "masks as distributed"
        )
    path = manifest_path(conversion.output)
    difference = manifest_difference(conversion)
    if path.exists() and not difference:
        return
    has_masks = any(file.suffix == ".png" for file in conversion.output.rglob("[!.]*"))
    if difference and has_masks:
        hint = ""
        if difference.startswith("source: "):
            wanted = manifest_of(conversion)["source"]
            hint = f'. If it is the same source, moved, set "source" to "{wanted}" in {path}'
        raise MixedOutputError(
            f"{conversion.output} was made differently ({difference}). Move it and {path.name} "
            f"away, or keep it; nothing was changed{hint}"
        )
    if has_masks:
        raise MixedOutputError(
            f"{conversion.output} contains masks, but there is no {path.name} that tells what made "
            "them. --check compares them with what would be written; to make them again, move them "
            "away. Nothing was changed"
        )
    for file, text in conversion.lists.items():
        if os.path.lexists(file) and not (file.is_file() and file.read_bytes() == text.encode()):
            raise MixedOutputError(
                f"{file} exists, and there is no {path.name} that tells what made it: move it away "
                "or choose another output. Nothing was changed"
            )
    text = json.dumps(manifest_of(conversion), indent=2) + "\n"
    write_atomically(path, text.encode())
