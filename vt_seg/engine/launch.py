"""Starting a training's processes, or joining those that torchrun, srun or mpirun started."""

import argparse
import os
import signal
import sys
from collections.abc import Callable

import torch
from detectron2.engine import default_argument_parser
from detectron2.engine import launch as launch_processes
from torch.multiprocessing import ProcessExitedException

from vt_seg.command_line import (
    Arguments,
    add_import_argument,
    config_path,
    errors_as_messages,
    parse_arguments,
    positive_int,
)

from .adapt_to_machine import processes_per_machine
from .interruption import signals_for_children
from .process_group import join_process_group, launched_process, leave_process_group

Main = Callable[[argparse.Namespace], object]


def launch(
    main: Main, description: str, arguments: Arguments = None, prog: str | None = None
) -> None:
    """Parse Detectron2's arguments and run ``main(args)`` in each process of a training.

    The processes are those that another launcher started, or as many as the arguments ask for.
    Ends with SystemExit if arguments are wrong (2), or with the code of a process that failed.
    """
    parser = default_argument_parser(epilog=description)
    parser.prog = prog or parser.prog
    add_import_argument(parser)
    parser.add_argument(
        "--cpu-processes",
        type=positive_int,
        default=0,
        metavar="N",
        help="train on the CPU, in N processes *per machine*",
    )
    parser.set_defaults(dist_url="auto")  # a free port, in place of one that may be in use
    args = parse_arguments(parser, arguments)
    args.config_file = config_path(args.config_file)
    if not args.config_file:
        parser.error("--config-file is needed, e.g. --config-file configs/vtfpn_R18_scenes.yaml")
    if args.cpu_processes and args.num_gpus > 1:
        parser.error(f"--cpu-processes and --num-gpus {args.num_gpus}: pass one of them")
    try:
        process = launched_process(num_machines=args.num_machines)
        if process is None:
            num_processes, note = processes_per_machine(
                args.num_gpus, args.num_machines, args.machine_rank, args.cpu_processes
            )
            if note:
                print(note)
            if args.num_machines > 1 and args.dist_url == "auto":
                raise ValueError(
                    f"--num-machines {args.num_machines}: pass --dist-url tcp://HOST:PORT, HOST "
                    "being rank 0"
                )
        elif args.cpu_processes or args.num_gpus not in (0, 1) or args.num_machines != 1:
            raise ValueError(
                f"{process.launcher} started {process.world_size} processes: leave out "
                "--cpu-processes, --num-gpus N and --num-machines (--num-gpus 0 means CPUs)"
            )
    except ValueError as error:
        parser.error(str(error))
    if process is not None:
        with errors_as_messages():
            join_process_group(process, use_gpu=args.num_gpus > 0 and torch.cuda.is_available())
        main(args)
        leave_process_group()
        return
    if args.cpu_processes:
        args.num_gpus = 0
        if num_processes * args.num_machines > 1:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Detectron2 takes GPUs and NCCL otherwise
    try:
        with signals_for_children(num_processes * args.num_machines):
            machines = (args.num_machines, args.machine_rank, args.dist_url)
            launch_processes(main, num_processes, *machines, args=(args,))
    except ProcessExitedException as error:
        if error.exit_code < 0:
            print(
                f"error: process {error.error_index} of this machine was killed "
                f"by {signal.Signals(-error.exit_code).name}, perhaps for lack of memory, and the "
                "others have ended with it; --resume continues from the newest checkpoint",
                file=sys.stderr,
            )
            sys.exit(128 - error.exit_code)  # as a shell's
        sys.exit(error.exit_code)  # one of several processes, which has reported its error
