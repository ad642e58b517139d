#!/usr/bin/env python
r"""Submit a training to Slurm, in one task per GPU, that is requeued until it is finished.

    python tools/submit_train.py --nodes 2 --gpus 8 --hours 24 --partition gpu -- \
        --config-file configs/vtfpn_R50_cocostuff.yaml OUTPUT_DIR output/cocostuff

What follows -- are the arguments of tools/train_net.py. When its time is over or others need the
machines, the training saves a checkpoint, is queued again and continues. Logs and the pickled job
are in --folder. It needs submitit: pip install 'vt_seg[submitit]'.
"""

import argparse
from pathlib import Path

from vt_seg.command_line import positive_int
from vt_seg.engine.slurm_job import TrainingJob


def parse() -> argparse.Namespace:
    """Return the arguments; end with code 2 if they are wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=positive_int, default=1, help="number of machines")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs, so tasks, per machine")
    parser.add_argument("--cpu-tasks", type=positive_int, help="tasks per machine without GPUs")
    parser.add_argument("--cpus-per-task", type=positive_int, default=8)
    parser.add_argument("--hours", type=float, default=24.0, help="time until it is requeued")
    parser.add_argument("--requeues", type=positive_int, default=100, help="at most")
    parser.add_argument("--partition", help="of Slurm")
    parser.add_argument("--account", help="of Slurm")
    parser.add_argument("--folder", default="output/jobs", help="for logs and the pickled job")
    parser.add_argument("--cluster", choices=["slurm", "local"], default="slurm")
    parser.add_argument("arguments", nargs="+", help="those of tools/train_net.py, after --")
    args = parser.parse_args()
    if args.gpus < 0 or (not args.gpus and not args.cpu_tasks):
        parser.error(f"--gpus {args.gpus}: pass at least 1, or --cpu-tasks N to train on CPUs")
    if "--config-file" not in args.arguments:
        parser.error("--config-file is needed behind --, as for tools/train_net.py")
    return args


def main() -> None:
    """Submit the job and print its number and where its log is."""
    args = parse()
    try:
        import submitit
    except ImportError:
        raise SystemExit(
            "error: submitit is not installed: pip install 'vt_seg[submitit]'"
        ) from None
    executor = submitit.AutoExecutor(args.folder, args.cluster, slurm_max_num_timeout=args.requeues)
    gpus = 0 if args.cpu_tasks else args.gpus
    executor.update_parameters(
        name="vt_seg",
        nodes=args.nodes,
        tasks_per_node=args.cpu_tasks or gpus,
        gpus_per_node=gpus,
        cpus_per_task=args.cpus_per_task,
        timeout_min=max(int(60 * args.hours), 1),
        slurm_partition=args.partition,
        slurm_account=args.account,
    )
    arguments = args.arguments if gpus else ["--num-gpus", "0", *args.arguments]
    job = executor.submit(TrainingJob(str(Path(__file__).with_name("train_net.py")), arguments))
    print(f"Submitted job {job.job_id}; its log: {job.paths.stdout}")


if __name__ == "__main__":
    main()
