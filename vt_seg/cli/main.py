"""The command `vt-seg`, which hands its arguments on to a sub-command."""

import argparse
import importlib
from collections.abc import Mapping, Sequence

import vt_seg

COMMANDS = {
    "train": ("train", "train a model, with Detectron2's flags"),
    "evaluate": ("evaluate", "evaluate a trained model on its test datasets"),
    "predict": ("predict", "predict images, folders, videos; write overlays, label maps, ..."),
    "export": ("export", "write an ONNX file or an ExportedProgram of a model"),
    "validate": ("validate", "find what is wrong with a dataset"),
    "visualize": ("visualize", "draw training data or visual tokens"),
    "analyze": ("analyze", "count multiply-adds and parameters of a model"),
    "configs": ("configs", "list the configs that come with vt_seg, or copy them"),
}
"""Sub-commands: the module in `vt_seg.cli`, whose ``main`` takes arguments and name, and a line."""


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run `vt-seg`; return its exit status, of which None is success."""
    description = "Visual Transformers for semantic segmentation."
    return run_command("vt-seg", description, COMMANDS, arguments)


def run_command(
    prog: str,
    description: str,
    commands: Mapping[str, tuple[str, str]],
    arguments: Sequence[str] | None,
) -> int | None:
    """Run the sub-command that the first argument names with the others.

    Ends with SystemExit and code 2 if there is no such sub-command.
    """
    lines = "\n".join(f"  {name:<10} {line}" for name, (_, line) in commands.items())
    parser = argparse.ArgumentParser(
        prog,
        description=description,
        epilog=f"commands:\n{lines}\n\n{prog} COMMAND --help describes each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vt_seg {vt_seg.__version__}")
    parser.add_argument("command", choices=commands, metavar="COMMAND", help="see below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="those of the command")
    args = parser.parse_args(arguments)
    module = importlib.import_module(f"vt_seg.cli.{commands[args.command][0]}")
    return module.main(args.arguments, f"{prog} {args.command}")
