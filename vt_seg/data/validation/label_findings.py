"""What the values of all masks together say about a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from ..label_check import likely_remedy
from .findings import Finding, Level
from .statistics import Statistics
from .variants import Variant

_MODES_THAT_ARE_CONVERTED = "I"  # and "I;16", ...


def label_findings(
    statistics: Statistics,
    class_names: Sequence[str],
    variant: Variant | None,
    complete: bool,
) -> list[Finding]:
    """Findings on labels, from sums over the masks that could be read.

    Args:
        variant: what the masks look like; names the remedy of labels out of range.
        complete: every mask was read, so that what was not seen is not there.
    """
    if not statistics.num_masks or not class_names:
        return []
    out_of_range = _out_of_range(statistics, variant)
    findings = [*out_of_range, *_ignored(statistics), *_modes(statistics)]
    if out_of_range:
        return findings  # which classes occur is not known before the labels are right
    known = [value for value in statistics.values if value < len(class_names)]
    if len(known) == 1 and statistics.values != [0, 255]:
        name = class_names[known[0]]
        message = (
            f"class {name} (label {known[0]}) is the only one that occurs in "
            f"{statistics.num_masks} masks, e.g. {statistics.first[known[0]]}; are these the right "
            "masks?"
        )
        findings.append(_warn("one class only", message, statistics.first[known[0]]))
    elif complete and len(known) > 1:
        absent = [f"{name} ({i})" for i, name in enumerate(class_names) if i not in known]
        if absent:
            shown = ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else "")
            message = (
                f"{len(absent)} of {len(class_names)} classes occur in no mask: {shown}; nothing "
                "can be learned or measured of them"
            )
            findings.append(Finding(Level.WARN, "absent classes", message))
    return findings


def _out_of_range(statistics: Statistics, variant: Variant | None) -> list[Finding]:
    values = [value for value in statistics.values if statistics.outside[value]]
    if not values:
        return []
    count, num_classes, ignore = statistics.wrong, statistics.num_classes, statistics.ignore_label
    value = values[-1] if values[-1] != 255 or len(values) == 1 else values[-2]
    file = statistics.first[value]
    shown = ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
    if variant is not None and variant.remedy:
        remedy = f"looks like {variant.title}; {variant.remedy}"
    elif values == [num_classes] and not statistics.pixels[0]:
        remedy = f"labels run from 1 to {num_classes}; subtract 1 from them"
    else:
        remedy = likely_remedy(values, num_classes, ignore)
    message = (
        f"value {value} ≥ {num_classes} in {file}; in {count} of {statistics.num_masks} masks "
        f"({100 * count / statistics.num_masks:.0f} %) some of {shown}, where 0..{num_classes - 1} "
        f"and {ignore} (ignored) are allowed: {remedy}"
    )
    return [Finding(Level.ERROR, "label out of range", message, count, file)]


def _ignored(statistics: Statistics) -> list[Finding]:
    total, ignore = statistics.num_masks, statistics.ignore_label
    if statistics.values == [0, 255] and ignore == 255:
        message = (
            f"masks hold 0 and 255 only, e.g. {statistics.first[255]}; 255 is ignored: if it is "
            "foreground, store it as 1"
        )
        return [_warn("only 0 and 255", message, statistics.first[255])]
    if not statistics.ignored:
        return []
    file = statistics.first_ignored
    if statistics.ignored == total:
        message = f"all {total} masks are 100 % ignore ({ignore}), e.g. {file}: no label to learn"
        return [Finding(Level.ERROR, "all ignored", message, total, file)]
    share = "" if statistics.ignored == 1 else f"{statistics.ignored} of {total} masks, e.g. "
    message = f"{share}{file} is 100 % ignore ({ignore}); leave it out, or label it"
    return [Finding(Level.WARN, "all ignored", message, statistics.ignored, file)]


def _modes(statistics: Statistics) -> list[Finding]:
    findings = []
    for mode, count in statistics.modes.items():
        file = statistics.first_of_mode[mode]
        if mode == "P":
            says = "palette masks: the indices are read as labels, not the colours"
        elif mode.startswith(_MODES_THAT_ARE_CONVERTED):
            says = f"masks of mode {mode} whose values fit into 8 bits are read as they are"
        else:
            continue
        message = f"{count} of {statistics.num_masks} {says}, e.g. {file}"
        findings.append(Finding(Level.INFO, f"mask mode {mode}", message, count, file))
    return findings


def _warn(kind: str, message: str, file: str) -> Finding:
    return Finding(Level.WARN, kind, message, file=file)
