"""Real threads with real connections, begun together."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

from django.db import connection


@contextmanager
def crew(size=16):
    """`size` threads that keep their connections: a function that does what `together` does, again and again."""
    with ThreadPoolExecutor(max_workers=size) as pool:

        def work_together(work, arguments):
            arguments = list(arguments)
            start = Barrier(min(size, len(arguments)))

            def run(numbered):
                number, argument = numbered
                if number < start.parties:
                    start.wait(timeout=30)
                return work(argument)

            return list(pool.map(run, enumerate(arguments)))

        leave = Barrier(size)

        def close(_):
            leave.wait(timeout=30)  # so that each thread has its turn
            connection.close()

        try:
            yield work_together
        finally:
            list(pool.map(close, range(size)))


def together(work, arguments, *, at_once=16):
    """`work(argument)` for each, `at_once` of them at a time, the first ones from one moment on; their answers."""
    arguments = list(arguments)
    with crew(min(at_once, len(arguments))) as work_together:
        return work_together(work, arguments)


def outcome(refusal, work):
    """A function that answers True, or False where `work` raises `refusal`."""

    def attempt(argument):
        try:
            work(argument)
        except refusal:
            return False
        return True

    return attempt
