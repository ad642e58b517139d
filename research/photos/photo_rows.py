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


def _vt_fpn(title: str, **changes: object) -> NeckRow:
    """Return a row with keys of ``MODEL.VT_FPN`` changed."""
    pairs = [(f"MODEL.VT_FPN.{key}", str(value)) for key, value in changes.items()]
    return NeckRow(title, overrides=tuple(text for pair in pairs for text in pair))


_LATERALS = "laterals alone, no tokens"
_TOP_DOWN, _DEPTHWISE = {"TOP_DOWN": True}, {"OUTPUT_CONV": "depthwise"}

ROWS = {
    "fpn": NeckRow("FPN", "fpn"),
    "vtfpn": NeckRow("VT-FPN, the paper's form"),
    "laterals": _vt_fpn(_LATERALS, NUM_LAYERS=0),
    "no_mixer": _vt_fpn("VT-FPN, no mixer", MIXER="none"),
    "no_position": _vt_fpn("VT-FPN, no positional encoding", POSITIONAL_ENCODING=False),
    "tokens16": _vt_fpn("VT-FPN, 16 tokens", NUM_TOKENS=16),
    "tokens32": _vt_fpn("VT-FPN, 32 tokens", NUM_TOKENS=32),
    "layers2": _vt_fpn("VT-FPN, two layers", NUM_LAYERS=2),
    "reads_all": _vt_fpn("VT-FPN, projectors read all tokens", PROJECTOR_READS="all"),
    "v4": _vt_fpn("VT-FPN, formulas of v4", REVISION="v4"),
    # Options that are not in the paper. What a path or a convolution does without tokens has a row
    # of its own: otherwise tokens would be credited with it.
    "zero_projector": _vt_fpn("VT-FPN, only projectors start at zero", ZERO_INIT="projector"),
    "zero_none": _vt_fpn("VT-FPN, nothing starts at zero", ZERO_INIT="none"),
    "top_down": _vt_fpn("VT-FPN, top-down path", **_TOP_DOWN),
    "laterals_top_down": _vt_fpn(f"{_LATERALS}, top-down path", NUM_LAYERS=0, **_TOP_DOWN),
    "depthwise": _vt_fpn("VT-FPN, depthwise 3x3", **_DEPTHWISE),
    "laterals_depthwise": _vt_fpn(f"{_LATERALS}, depthwise 3x3", NUM_LAYERS=0, **_DEPTHWISE),
    "both": _vt_fpn("VT-FPN, top-down path, depthwise 3x3", **_TOP_DOWN, **_DEPTHWISE),
    "laterals_both": _vt_fpn(
        f"{_LATERALS}, top-down path, depthwise 3x3", NUM_LAYERS=0, **_TOP_DOWN, **_DEPTHWISE
    ),
}
