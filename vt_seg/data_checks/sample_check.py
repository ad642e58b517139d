"""What the validator finds in a sample of a dataset, before a run that takes hours begins."""

from vt_seg.data import ImageReader, raise_errors

from .sources import from_name
from .validate import validate

SAMPLE = 100
"""Pairs that are read of a dataset, evenly spread: seconds, and a fault of all masks is found."""


def check_sample(name: str, split: str, images: ImageReader) -> str:
    """Check the names of all files of a dataset and the content of some; say how many, or "".

    ``split`` is "TRAIN" or "TEST", for messages; ``images`` reads the images of the config.

    Raises:
        ValueError: if ``tools/validate_dataset.py`` would call anything there an ERROR.
    """
    report = validate(from_name(name), SAMPLE, num_workers=1, progress=False, images=images)
    raise_errors(report.findings, prefix=f"DATASETS.{split} {name}: ")
    total = len(report.source.records)
    if report.num_read == total:
        return ""
    return (
        f"DATASETS.{split} {name}: {report.num_read} of {total} pairs were read and are right; "
        f"vt-seg validate {name} reads all"
    )
