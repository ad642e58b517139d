"""The rows of the experiment: a neck each, as overrides of one of the two configs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One neck.

    Attributes:
        title: what the table calls it.
        neck: "fpn" or "vtfpn", the config that it starts from.
        overrides: ``KEY VALUE`` pairs on top of that config.
    """

    title: str
    neck: str = "vtfpn"
    overrides: tuple[str, ...] = ()


ROWS = {
    "fpn": Row("FPN", "fpn"),
    "vtfpn": Row("VT-FPN, the paper's form"),
    "laterals": Row("laterals alone, no tokens", overrides=("MODEL.VT_FPN.NUM_LAYERS", "0")),
    "no_mixer": Row("VT-FPN, no mixer", overrides=("MODEL.VT_FPN.MIXER", "none")),
    "no_position": Row(
        "VT-FPN, no positional encoding", overrides=("MODEL.VT_FPN.POSITIONAL_ENCODING", "False")
    ),
    "tokens16": Row("VT-FPN, 16 tokens", overrides=("MODEL.VT_FPN.NUM_TOKENS", "16")),
    "tokens32": Row("VT-FPN, 32 tokens", overrides=("MODEL.VT_FPN.NUM_TOKENS", "32")),
    "layers2": Row("VT-FPN, two layers", overrides=("MODEL.VT_FPN.NUM_LAYERS", "2")),
    "reads_all": Row(
        "VT-FPN, projectors read all tokens", overrides=("MODEL.VT_FPN.PROJECTOR_READS", "all")
    ),
    "v4": Row("VT-FPN, formulas of v4", overrides=("MODEL.VT_FPN.REVISION", "v4")),
}
