"""Real threads with real connections, begun together."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from django.db import connection


def together(work, arguments, *, at_once=16):
    """`work(argument)` for each, `at_once` of them at a time, the first ones from one moment on; their answers."""
    arguments = list(arguments)
    start = Barrier(min(at_once, len(arguments)))
    first = set(range(start.parties))

    def run(numbered):
        number, argument = numbered
        try:
            if number in first:
                start.wait(timeout=30)
            return work(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=start.parties) as pool:
        return list(pool.map(run, enumerate(arguments)))


def outcome(refusal, work):
    """A function that answers True, or False where `work` raises `refusal`."""

    def attempt(argument):
        try:
            work(argument)
        except refusal:
            return False
        return True

    return attempt
