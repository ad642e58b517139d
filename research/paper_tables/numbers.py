"""The numbers of the paper's tables, as strings with the digits that the tables have.

arXiv 2006.03677: v1 is of June 2020, v4 of November 2020. v1's digits were compared with the paper
one by one. Those of v4's tables are second-hand: they come from notes that nobody has compared with
the paper. v4's text gives a few numbers itself (``V4_SAVED_MACS``), and these do not agree with the
notes, so a difference between numbers of v4 may be a copying error and says nothing on the paper.

Of v1 Table 1 only the rows of ResNets and VT-ResNets are here, not those of other methods. Nothing
of ours is in this file.
"""

from typing import NamedTuple


class ClassifierRow(NamedTuple):
    """A classifier on ImageNet at 224 x 224.

    Attributes:
        top1: accuracy in percent.
        macs: multiply-adds, in G in v1 and v4 Table 8, in M in v4 Tables 2-7.
        params: in M; "" where the table has none.
    """

    top1: str
    macs: str
    params: str


class SegmentationRow(NamedTuple):
    """A segmentation model; mIoU in percent, MACs in G, of the whole model and of the neck."""

    miou: str
    total: str
    neck: str


# v1 Table 1 (recipe: v1 Sec. 5.1).
V1_TABLE_1 = {
    "R-18": ClassifierRow("69.76", "1.814", "11.67"),
    "VT-R-18": ClassifierRow("74.29", "1.587", "12.76"),
    "R-34": ClassifierRow("73.32", "3.664", "21.78"),
    "VT-R-34": ClassifierRow("77.46", "3.151", "18.02"),
    "R-50": ClassifierRow("76.0", "4.089", "25.5"),
    "VT-R-50": ClassifierRow("78.88", "3.412", "21.4"),
    "R-101": ClassifierRow("77.39", "7.802", "44.44"),
    "VT-R-101": ClassifierRow("81.09", "7.127", "40.33"),
}

# v1 Table 2, how many times fewer, by depth 18, 34, 50, 101. By the notes v4 Table 1 is the same;
# v4's text confirms "up to 6.9x" alone.
REDUCTIONS = {
    "MACs, total": ("1.14", "1.16", "1.20", "1.09"),
    "MACs, stage 5": ("2.4", "5.0", "6.1", "6.9"),
    "params, total": ("0.91", "1.21", "1.19", "1.19"),
    "params, stage 5": ("0.9", "1.5", "1.26", "1.26"),
}

# v1 Table 3 (90 epochs), by depth.
V1_TABLE_3 = {
    18: {
        "base": ClassifierRow("71.45", "1.587", "12.76"),
        "-TF": ClassifierRow("69.49", "1.519", "8.57"),
        "-PE": ClassifierRow("71.43", "1.586", "12.69"),
        "-DT": ClassifierRow("70.26", "1.608", "12.22"),
    },
    34: {
        "base": ClassifierRow("74.65", "3.217", "18.02"),
        "-TF": ClassifierRow("74.33", "3.204", "17.24"),
        "-PE": ClassifierRow("74.50", "3.216", "17.90"),
        "-DT": ClassifierRow("73.40", "3.246", "16.92"),
    },
}

# v1 Table 4; v4 Tables 9 (COCO-Stuff) and 10 (LIP) are the same by the notes.
V1_TABLE_4 = {
    ("COCO-Stuff", "R-50 FPN"): SegmentationRow("40.78", "159", "55.1"),
    ("COCO-Stuff", "R-50 VT-FPN"): SegmentationRow("41.00", "113", "8.5"),
    ("COCO-Stuff", "R-101 FPN"): SegmentationRow("41.51", "231", "55.1"),
    ("COCO-Stuff", "R-101 VT-FPN"): SegmentationRow("41.50", "185", "8.5"),
    ("LIP", "R-50 FPN"): SegmentationRow("47.04", "37.1", "12.8"),
    ("LIP", "R-50 VT-FPN"): SegmentationRow("47.39", "26.4", "2.0"),
    ("LIP", "R-101 FPN"): SegmentationRow("47.35", "54.4", "12.8"),
    ("LIP", "R-101 VT-FPN"): SegmentationRow("47.58", "43.6", "2.0"),
}
SEGMENTATION_SIZES = {"COCO-Stuff": (800, 1216), "LIP": (473, 473)}
"""(height, width) in pixels of the image whose MACs v1 Table 4 counts."""

# From here on second-hand, but for V4_SAVED_MACS.
# v4 Table 2, default recipe (v4 Sec. 5.1); MACs in M. Also the base row of v4 Tables 3-7.
V4_TABLE_2 = {
    18: ClassifierRow("72.0", "1579", "11.6"),
    34: ClassifierRow("74.8", "3299", "21.8"),
}
V4_SAVED_MACS = {18: 244, 34: 384}
"""M MACs that the VT-ResNets of v4 Table 2 save against ResNets, by the text of v4 Sec. 5.1."""

# v4 Tables 3-7, ablations by depth; MACs in M.
V4_TABLE_3 = {
    18: {
        "pooling": ClassifierRow("70.6", "1550", "11.0"),
        "clustering": ClassifierRow("71.5", "1580", "11.6"),
    },
    34: {
        "pooling": ClassifierRow("73.5", "3246", "20.6"),
        "clustering": ClassifierRow("75.1", "3230", "21.8"),
    },
}
V4_TABLE_4 = {
    18: {"no recurrent": ClassifierRow("71.4", "1564", "11.1")},
    34: {"no recurrent": ClassifierRow("74.5", "3369", "20.7")},
}
V4_TABLE_5 = {
    18: {
        "none": ClassifierRow("68.8", "1528", "8.5"),
        "GraphConv": ClassifierRow("69.2", "1528", "8.5"),
    },
    34: {
        "none": ClassifierRow("73.4", "3222", "17.1"),
        "GraphConv": ClassifierRow("73.6", "3223", "17.1"),
    },
}
V4_TABLE_6 = {
    18: {
        "32 tokens": ClassifierRow("71.7", "1711", ""),
        "64 tokens": ClassifierRow("72.0", "1979", ""),
    },
    34: {
        "32 tokens": ClassifierRow("75.1", "3514", ""),
        "64 tokens": ClassifierRow("75.0", "3951", ""),
    },
}
V4_TABLE_7 = {
    18: {"no projector": ClassifierRow("70.9", "1497", "9.3")},
    34: {"no projector": ClassifierRow("74.1", "3158", "17.3")},
}

# v4 Table 8, advanced recipe (v4 Sec. 5.2).
V4_TABLE_8 = {
    "VT-R-18": ClassifierRow("76.8", "1.569", "11.7"),
    "VT-R-34": ClassifierRow("79.9", "3.236", "19.2"),
    "VT-R-50": ClassifierRow("80.6", "3.412", "21.4"),
    "VT-R-101": ClassifierRow("82.3", "7.129", "41.5"),
}
