"""List the configs that come with vt_seg, or copy their files.

vt-seg configs                      their names, which every --config-file takes
vt-seg configs --copy configs       copy the files, so that yours can inherit them by _BASE_
"""

import argparse
import os
import shutil

from vt_seg import model_zoo
from vt_seg.command_line import Arguments, command, parse_arguments, plain_parser


def parse_args(arguments: Arguments = None, prog: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = plain_parser(__doc__, prog)
    parser.add_argument("--copy", metavar="DIR", help="a folder that does not exist yet")
    return parse_arguments(parser, arguments)


def run(args: argparse.Namespace) -> None:
    """Print the names, or copy the folder.

    Raises:
        FileExistsError: if something has the copy's name.
    """
    if args.copy is None:
        print("\n".join(model_zoo.config_names()))
        return
    if not args.copy:
        raise ValueError("--copy is empty: name a new folder")
    if os.path.lexists(args.copy):
        raise FileExistsError(f"--copy {args.copy} is there already: name a new folder")
    shutil.copytree(model_zoo.config_folder(), args.copy)
    print(f"{len(model_zoo.config_names())} configs in {args.copy}")


main = command(parse_args, run)
