"""Starting a training's processes as Detectron2 does, with errors and exit codes for a shell."""

import argparse
import sys
from collections.abc import Callable, Sequence

from detectron2.engine import default_argument_parser
from detectron2.engine import launch as launch_processes
from torch.multiprocessing import ProcessExitedException

from vt_seg.command_line import add_import_argument, config_path, parse_arguments

from .adapt_to_machine import processes_per_machine
from .interruption import signals_for_children


def launch(
    main: Callable[[argparse.Namespace], object],
    description: str,
    arguments: Sequence[str] | None = None,
    prog: str | None = None,
) -> None:
    """Parse Detectron2's arguments and run ``main(args)`` in as many processes as they ask for.

    Ends with SystemExit if arguments are wrong (2), or with the code of a process that failed.
    """
    parser = default_argument_parser(epilog=description)
    parser.prog = prog or parser.prog
    add_import_argument(parser)
    args = parse_arguments(parser, arguments)
    args.config_file = config_path(args.config_file)
    if not args.config_file:
        parser.error("--config-file is needed, e.g. --config-file configs/vtfpn_R18_scenes.yaml")
    try:
        num_processes, note = processes_per_machine(
            args.num_gpus, args.num_machines, args.machine_rank
        )
    except ValueError as error:
        parser.error(str(error))
    if note:
        print(note)
    try:
        with signals_for_children(num_processes):
            machines = (args.num_machines, args.machine_rank, args.dist_url)
            launch_processes(main, num_processes, *machines, args=(args,))
    except ProcessExitedException as error:
        if error.exit_code < 0:  # killed by a signal
            raise
        sys.exit(error.exit_code)  # one of several processes, which has reported its error
