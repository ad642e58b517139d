"""The rows of the experiment: necks, as overrides of one of two configs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NeckRow:
    """One neck.

    Attributes:
        title: Title of the table's row.
        neck: "fpn" or "vtfpn", the config that is overridden.
        overrides: ``KEY VALUE`` overrides of that config.
    """

    title: str
    neck: str = "vtfpn"
    overrides: tuple[str, ...] = ()


ROWS = {
    "fpn": NeckRow("FPN", "fpn"),
    "vtfpn": NeckRow("VT-FPN, the paper's form"),
    "laterals": NeckRow("laterals alone, no tokens", overrides=("MODEL.VT_FPN.NUM_LAYERS", "0")),
    "no_mixer": NeckRow("VT-FPN, no mixer", overrides=("MODEL.VT_FPN.MIXER", "none")),
    "no_position": NeckRow(
        "VT-FPN, no positional encoding", overrides=("MODEL.VT_FPN.POSITIONAL_ENCODING", "False")
    ),
    "tokens16": NeckRow("VT-FPN, 16 tokens", overrides=("MODEL.VT_FPN.NUM_TOKENS", "16")),
    "tokens32": NeckRow("VT-FPN, 32 tokens", overrides=("MODEL.VT_FPN.NUM_TOKENS", "32")),
    "layers2": NeckRow("VT-FPN, two layers", overrides=("MODEL.VT_FPN.NUM_LAYERS", "2")),
    "reads_all": NeckRow(
        "VT-FPN, projectors read all tokens", overrides=("MODEL.VT_FPN.PROJECTOR_READS", "all")
    ),
    "v4": NeckRow("VT-FPN, formulas of v4", overrides=("MODEL.VT_FPN.REVISION", "v4")),
}
