"""Finds the classes that a horizontal flip exchanges, by left and right in their names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..augmentations import LabelPairs, normalized_pairs
from ..finding import Finding

# What stands for left and right as a part of a name: "left_eye", "eye (r)", "Lt. lung", "FL wheel".
_WORDS = [p.split() for p in (
    "left right", "links rechts", "linke rechte", "linker rechter", "linkes rechtes",
    "gauche droite", "izquierdo derecho", "izquierda derecha", "esquerdo direito",
    "esquerda direita", "sinistro destro", "sinistra destra", "sx dx", "левый правый",
    "левая правая", "левое правое", "왼쪽 오른쪽", "左 右",
)]  # fmt: skip
# Of hands (lh), feet (lf), which are front sides as well, and of front and rear (fl, rl).
_LETTERS = [
    pair.split() for pair in ("l r", "lt rt", "lft rgt", "lh rh", "lf rf", "fl fr", "rl rr")
]
_OPPOSITE = {side: other for pair in (*_WORDS, *_LETTERS) for side, other in (pair, pair[::-1])}
_ARE_WORDS = {side for pair in _WORDS for side in pair}
_SPELLINGS = {"droit": "droite"}  # "œil gauche" and "œil droit"
# "Leye" means the left eye, but "Load" is no left "oad": a letter counts before these words alone.
_PAIRED_WORDS = [
    "ankle", "arm", "armpit", "brow", "breast", "calf", "cheek", "clavicle", "door", "ear", "elbow",
    "eye", "eyebrow", "eyelid", "femur", "foot", "forearm", "glove", "hand", "headlight", "heel",
    "hip", "humerus", "iris", "kidney", "knee", "leg", "lens", "lung", "mirror", "nostril", "pupil",
    "radius", "shin", "shoe", "shoulder", "sleeve", "sock", "temple", "thigh", "thumb", "tibia",
    "toe", "ulna", "wheel", "wing", "wrist",
]  # fmt: skip
_GLUED = (
    re.compile(r"(?P<before>|.{2,})(?P<side>left|right)(?P<after>.*)"),  # lefthand, upperleftarm
    re.compile("(?P<before>[^左右]*)(?P<side>[左右])(?P<after>[^左右]*)"),  # without spaces
    re.compile(rf"(?P<before>)(?P<side>[lr])(?P<after>(?:{'|'.join(_PAIRED_WORDS)})s?)"),
)
_WORDS_AND_NUMBERS = re.compile(r"[^\W\d_]+|\d+")
_CAMEL_CASE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MANY_LETTERS = 3  # "key_l" and "key_r" are no sides among "key_a", "key_b" and "key_c".

Template = tuple[str, ...]
"""The parts of a name in lower case, with "*" in the place of a side."""


def left_right_pairs(classes: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return pairs of labels whose names differ only in left and right, smaller label first.

    Case, separators and the spelling of sides do not matter (``l_eye``, ``Eye (L)``, ``Leye``,
    ``armLeft``), but the place of the side does: ``ear_r`` may be an earring, next to ``r_ear``.
    """
    all_parts = [_parts(name) for name in classes]
    letters = defaultdict(set)
    for parts in all_parts:
        for place, part in enumerate(parts):
            if len(part) == 1 and part.isalpha():
                letters[_without(parts, place)].add(part)
    labels = defaultdict(list)
    for label, parts in enumerate(all_parts):
        labels[parts].append(label)
    mirrored = [
        next((labels[m][0] for m in _mirrored(parts, letters) if len(labels.get(m, ())) == 1), -1)
        for parts in all_parts
    ]
    return tuple(
        (label, other)
        for label, other in enumerate(mirrored)
        if label < other and mirrored[other] == label
    )


def flip_pair_findings(classes: Sequence[str], pairs: LabelPairs | None) -> list[Finding]:
    """Return why a horizontal flip that swaps ``pairs`` would give wrong labels.

    ``pairs`` is None where nobody has said which there are; an empty list says that there are none.
    """
    try:
        known = normalized_pairs(pairs or ())
    except ValueError as wrong:
        return [Finding.error("plain flip", str(wrong))]
    swapped = {label for pair in known for label in pair}
    if outside := sorted(swapped - set(range(len(classes)))):
        message = (
            f"flip_label_pairs holds {outside[0]}, but labels are 0..{len(classes) - 1}: name "
            "pairs of class indices"
        )
        return [Finding.error("plain flip", message)]
    found = left_right_pairs(classes) if pairs is None or known else ()
    missing = [pair for pair in found if pair not in known]
    if not missing:
        return []
    first, second = missing[0]
    proposed = [[*pair] for pair in sorted({*known, *missing})]
    message = (
        f"{classes[first]} and {classes[second]} (labels {first} and {second}) are mirror images "
        "of each other: this dataset needs the label-swapping flip; set flip_label_pairs "
    )
    if swapped.isdisjoint(label for pair in missing for label in pair):
        message += f"{proposed}"
    else:
        message += f"so that {first} and {second} are a pair, not two labels of other pairs"
    if pairs is None:
        message += ", or [] if no two classes are mirror images"
    return [Finding.error("plain flip", message)]


def _parts(name: str) -> Template:
    """Return the parts of a name in lower case; a side that is glued to a word is one of them."""
    parts: list[str] = []
    for word in _WORDS_AND_NUMBERS.findall(unicodedata.normalize("NFKC", name)):
        for part in _CAMEL_CASE.findall(word) if word.isascii() and word.isalpha() else [word]:
            part = part.lower()
            glued = next(filter(None, (pattern.fullmatch(part) for pattern in _GLUED)), None)
            parts += filter(None, glued.groups()) if glued else [_SPELLINGS.get(part, part)]
    return tuple(parts)


def _mirrored(parts: Template, letters: dict[Template, set[str]]) -> Iterator[Template]:
    """Yield what a name may be called after a flip: all of its sides exchanged, or else one."""
    choices = [[place for place, part in enumerate(parts) if part in _ARE_WORDS]]
    if not choices[0]:
        # "l_lip_left" is the left of the lower lip: letters count where no word does, and not
        # always all of them.
        places = [
            place
            for place, part in enumerate(parts)
            if part in _OPPOSITE and (len(part) > 1 or _is_side(parts, place, letters))
        ]
        choices = [places, *([place] for place in places)]
    for chosen in choices:
        if chosen:
            yield tuple(
                _OPPOSITE[part] if place in chosen else part for place, part in enumerate(parts)
            )


def _without(parts: Template, place: int) -> Template:
    return (*parts[:place], "*", *parts[place + 1 :])


def _is_side(parts: Template, place: int, letters: dict[Template, set[str]]) -> bool:
    """Return True unless an "l" or "r" stands alone or is one of many letters in its place."""
    others = (*parts[:place], *parts[place + 1 :])
    siblings = letters[_without(parts, place)] - {"l", "r"}
    return any(len(part) > 1 and part.isalpha() for part in others) and (
        len(siblings) < _MANY_LETTERS
    )
