"""The model that all sides change; each side makes a model of its own of it, as its documentation says."""

from __future__ import annotations

from django.db import models

from tests.bench.peers.facts import MACHINE


class AbstractMachine(models.Model):
    """A machine; `revision` is what each transaction changes."""

    id = models.UUIDField(primary_key=True, default=MACHINE)
    name = models.CharField(max_length=64, default="machine-17")
    region = models.CharField(max_length=32, default="us-east-1")
    bundle_type = models.CharField(max_length=32, default="STANDARD")
    running_mode = models.CharField(max_length=16, default="AUTO_STOP")
    revision = models.PositiveIntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name
