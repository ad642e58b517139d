"""What the paper leaves open, as config keys: its readings, and its ablations' configs."""

from collections.abc import Mapping

from .models import Keys

DEPTHS = (18, 34, 50, 101)

V1_READINGS: Mapping[int, Mapping[str, Keys]] = {
    18: {
        "L=16, as the counts say": (("NUM_TOKENS", 16), ("TOKEN_GROUPS", 1)),
        "L=8, as the text says": (("NUM_TOKENS", 8), ("TOKEN_GROUPS", 1)),
        "L=8, K/Q/V in 8 groups, as App. A says": (("NUM_TOKENS", 8), ("TOKEN_GROUPS", 8)),
    },
    34: {
        "L=8, as the text says": (("NUM_TOKENS", 8), ("TOKEN_GROUPS", 8)),
        "L=16, as Table 3 counts": (("NUM_TOKENS", 16), ("TOKEN_GROUPS", 8)),
    },
    **{
        depth: {
            "L=8, static, as the counts say": (
                ("NUM_TOKENS", 8),
                ("TOKEN_GROUPS", 8),
                ("RECURRENT", False),
            ),
            "L=8, as the text says": (("NUM_TOKENS", 8), ("TOKEN_GROUPS", 8)),
            "L=16": (("NUM_TOKENS", 16), ("TOKEN_GROUPS", 8)),
        }
        for depth in (50, 101)
    },
}
"""Keys of MODEL.VT_RESNET by depth and reading of v1; the first of each depth fits the counts."""

V1_TABLE_3_READINGS: Mapping[int, str] = {
    18: "L=16, as the counts say",
    34: "L=16, as Table 3 counts",
}
"""The reading of v1 that fits its ablations, by depth."""

V4_READINGS: Mapping[str, Keys] = {
    "C=256, as the text says": (),
    "C=512, as in v1": (("OUT_CHANNELS", 512),),
}
"""Keys of MODEL.VT_RESNET by reading of v4, for depths 18 and 34."""

ABLATIONS: Mapping[str, str] = {
    "-TF": "v1_table3_no_transformer",
    "-PE": "v1_table3_no_positional_encoding",
    "-DT": "v1_table3_no_dynamic",
    "pooling": "v4_table3_pooling",
    "clustering": "v4_table3_clustering",
    "no recurrent": "v4_table4_no_recurrent",
    "none": "v4_table5_no_mixer",
    "GraphConv": "v4_table5_graph_conv",
    "32 tokens": "v4_table6_32_tokens",
    "64 tokens": "v4_table6_64_tokens",
    "no projector": "v4_table7_no_projector",
}
"""The config in configs/ablations/ by the row's name."""


def fitting_keys(revision: str, depth: int) -> Keys:
    """Keys of the reading that fits the paper's counts; none for v4, whose text is taken."""
    return next(iter(V1_READINGS[depth].values())) if revision == "v1" else ()
