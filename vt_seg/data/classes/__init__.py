"""Classes of a dataset: lists of their names, checks of them, and those that a flip exchanges."""

from .class_checks import class_findings, color_findings
from .class_lists import ClassList, Names, class_list, read_class_list, read_class_names
from .flip_pairs import flip_pair_findings, left_right_pairs

__all__ = [
    "ClassList", "Names", "class_findings", "class_list", "color_findings", "flip_pair_findings",
    "left_right_pairs", "read_class_list", "read_class_names",
]  # fmt: skip
