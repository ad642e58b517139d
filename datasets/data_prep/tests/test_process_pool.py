import os
import signal

import pytest

from data_prep.process_pool import process_pool


def end_like_out_of_memory(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order():
    with process_pool(2, "data_prep.process_pool") as pool:
        assert list(pool.map(abs, range(-50, 0), chunksize=7)) == list(range(50, 0, -1))


def test_one_worker_is_this_process():
    with process_pool(1, "data_prep.process_pool") as pool:
        assert pool is None


def test_a_killed_worker_is_an_error_and_no_endless_wait():
    with (
        pytest.raises(ChildProcessError, match=r"a worker process was killed.*fewer processes"),
        process_pool(2, "data_prep.process_pool") as pool,
    ):
        list(pool.map(end_like_out_of_memory, range(20)))
