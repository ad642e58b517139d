"""Draw what a model sees, or what its tokens look at."""

from collections.abc import Sequence

from .main import run_command

COMMANDS = {
    "data": ("visualize_data", "images as the model sees them, with their labels"),
    "tokens": ("visualize_tokens", "where visual tokens attend, and which pixels read them"),
}


def main(arguments: Sequence[str] | None = None, prog: str = "vt-seg visualize") -> int | None:
    """Run one of the two sub-commands."""
    return run_command(prog, "Draw training data or visual tokens.", COMMANDS, arguments)
