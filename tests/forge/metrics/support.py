"""Reading what this process has counted."""

from forge.metrics.counters import processes


class Grown:
    """Called, how much a sample has grown since this was made."""

    def __init__(self, name, **labels):
        self._name, self._labels = name, labels
        self._before = self._now()

    def __call__(self):
        return self._now() - self._before

    def _now(self):
        return processes().get_sample_value(self._name, self._labels) or 0
