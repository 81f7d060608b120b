# SPDX-License-Identifier: Apache-2.0
"""DFF.THREAD: a small pool of threads that lives as long as the task (spec 3.5)."""
import threading
import time
from collections import deque

import _tenon
from .errors import DuplicatedThreadResultKey

DEFAULT_SIZE = 5
_STOP_WAIT = 0.5  # seconds that threads get to end when the call is over


class Result:
    """Outcome of one submitted function: key, value, error (an exception or None)."""

    __slots__ = ("key", "value", "error")

    def __init__(self, key, value=None, error=None):
        self.key = key
        self.value = value
        self.error = error

    def __repr__(self) -> str:
        return "<ThreadResult key=%r value=%r error=%r>" % (self.key, self.value, self.error)


class Pool:
    """Threads, the queue of what is not started and the results; everything under one condition."""

    def __init__(self, size: int):
        self.size = size
        self.changed = threading.Condition()
        self.queue: deque = deque()
        self.results: dict = {}
        self.pending: list = []   # keys in the order of submission, until their result was taken
        self.threads: list = []
        self.running = 0
        self.closed = False
        self.count = 0
        _tenon.print_line("[THREAD] Create thread pool, pool size: %d" % size)

    def submit(self, func, args: tuple, kwargs: dict, key):
        with self.changed:
            self.count += 1
            if key is None:
                key = "thread-%d" % self.count
            if key in self.pending:
                raise DuplicatedThreadResultKey("Thread result key already exists: `%s`" % (key,))
            self.pending.append(key)
            self.queue.append((key, func, args, kwargs))
            if len(self.threads) < self.size and len(self.queue) + self.running > len(self.threads):
                thread = threading.Thread(target=self._work, name="DFF.THREAD-%d" % (len(self.threads) + 1),
                                          daemon=True)
                self.threads.append(thread)
                thread.start()
            self.changed.notify_all()
        return key

    def _work(self) -> None:
        while True:
            with self.changed:
                while not self.queue and not self.closed:
                    self.changed.wait()
                if not self.queue:
                    return
                key, func, args, kwargs = self.queue.popleft()
                self.running += 1
            result = Result(key)
            try:
                result.value = func(*args, **kwargs)
            except BaseException as e:
                result.error = e
            func = args = kwargs = None
            with self.changed:
                self.running -= 1
                self.results[key] = result
                self.changed.notify_all()

    def idle(self) -> bool:
        return not self.queue and self.running == 0

    def wait(self, done) -> None:
        """Waits under the condition until done() holds. Short waits, so that the time limit of the
        task gets through to the main thread."""
        while not done():
            self.changed.wait(0.2)

    def join(self) -> None:
        """Waits until everything submitted has ended."""
        with self.changed:
            self.wait(self.idle)

    def stop(self) -> bool:
        """Drops what has not started, ends the threads; False: some would not end in time."""
        with self.changed:
            self.queue.clear()
            self.closed = True
            busy = self.running > 0
            self.changed.notify_all()
        if busy:
            for thread in self.threads:
                if thread.is_alive():
                    _tenon.interrupt(thread.ident)
        deadline = time.monotonic() + _STOP_WAIT
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)


class Thread:
    """The DFF.THREAD member."""

    __slots__ = ()

    @staticmethod
    def _pool(create: bool = False):
        state = _tenon.state()
        if create and "pool" not in state:
            state["pool"] = Pool(state.get("pool_size", DEFAULT_SIZE))
        return state.get("pool")

    @property
    def pool_size(self) -> int:
        return _tenon.state().get("pool_size", DEFAULT_SIZE)

    def set_pool_size(self, pool_size: int) -> None:
        if not isinstance(pool_size, int) or isinstance(pool_size, bool) or not 1 <= pool_size <= 1000:
            raise ValueError("pool_size should be an int from 1 to 1000, not %r" % (pool_size,))
        if self._pool() is not None:
            raise Exception("The pool size must be set before the first submit")
        _tenon.state()["pool_size"] = pool_size

    def submit(self, fn, *args, **kwargs):
        """Runs fn(*args, **kwargs) in a thread -> key of its result."""
        return self._pool(True).submit(fn, args, kwargs, None)

    @property
    def is_all_finished(self) -> bool:
        pool = self._pool()
        return pool is None or pool.idle()

    def wait_all_finished(self) -> None:
        pool = self._pool()
        if pool is not None:
            with pool.changed:
                pool.wait(pool.idle)

    def get_result(self, key, wait: bool = True):
        """The result of a key; None when it is unknown, or unfinished and wait is False."""
        pool = self._pool()
        if pool is None:
            return None
        with pool.changed:
            if key not in pool.pending:
                return None
            if wait:
                pool.wait(lambda: key in pool.results)
            return pool.results.get(key)

    def get_all_results(self, wait: bool = True) -> list:
        """All results so far, in the order of submission."""
        pool = self._pool()
        if pool is None:
            return []
        with pool.changed:
            if wait:
                pool.wait(pool.idle)
            return [pool.results[k] for k in pool.pending if k in pool.results]

    def pop_result(self, wait: bool = True):
        """One finished result, which is taken out; None when nothing is left."""
        pool = self._pool()
        if pool is None:
            return None
        with pool.changed:
            if wait:
                pool.wait(lambda: pool.results or pool.idle())
            for key in list(pool.results):
                pool.pending.remove(key)
                return pool.results.pop(key)
            return None
