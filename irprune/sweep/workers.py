"""Who does the tasks: this process, processes beside it, or the workers of a Dask cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any

from ..errors import InputError
from .task import Task, run_task

Done = Callable[[Task, dict[str, Any]], object]
"""Told of each task that was done, in the order in which they end."""

_PATIENCE = 10
"""Seconds that a cluster has to answer."""


def run_tasks(tasks: Sequence[Task], done: Done, *, workers: int = 1, scheduler: str | None = None) -> None:
    """Do all tasks. Raises :class:`InputError` for a cluster that cannot be reached, and what a task raises."""
    if scheduler is not None:
        _on_cluster(tasks, done, scheduler)
    elif workers > 1 and len(tasks) > 1:
        _in_processes(tasks, done, min(workers, len(tasks)))
    else:
        for task in tasks:
            done(task, run_task(task))


def _in_processes(tasks: Sequence[Task], done: Done, workers: int) -> None:
    # Not forked: libraries with threads of their own do not survive that.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_prepare) as pool:
        futures = {pool.submit(run_task, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                done(futures[future], future.result())
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise InputError(
                    "a worker process was ended, perhaps for want of memory; the command goes on where it was when it "
                    "is started again, with fewer --workers"
                ) from error
            raise


def _prepare() -> None:
    """A worker ends with the process that started it, also where that was killed, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _on_cluster(tasks: Sequence[Task], done: Done, address: str) -> None:
    try:
        from distributed import Client
        from distributed import as_completed as as_they_end
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install 'irprune[dask]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it repeats at length what is said in one line here
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise InputError(f"--scheduler {address}: no cluster can be reached there ({error})") from error
    with client, client.as_current():
        futures = {client.submit(run_task, task, pure=False): task for task in tasks}
        try:
            for future in as_they_end(list(futures)):
                done(futures[future], future.result())
        finally:
            client.cancel(list(futures))
