"""A machine with history; what a historical row has no column for is a base of it, filled by the documented signal."""

from typing import Any

from django.db import models
from django.dispatch import receiver
from simple_history.models import HistoricalRecords
from simple_history.signals import pre_create_historical_record

from tests.bench.peers.facts import Facts
from tests.bench.peers.machine import AbstractMachine

EXTRA = ("user_email", "action_type", "result", "source_ip", "user_agent", "interface", "context")


class AuditFields(models.Model):
    """The fields of an entry that simple-history does not bring."""

    user_email = models.EmailField()
    action_type = models.CharField(max_length=64)
    result = models.CharField(max_length=8)
    source_ip = models.GenericIPAddressField()
    user_agent = models.TextField()
    interface = models.CharField(max_length=8)
    context = models.JSONField()

    class Meta:
        abstract = True


class Machine(AbstractMachine):
    facts: Facts
    history = HistoricalRecords(bases=[AuditFields])


@receiver(pre_create_historical_record)
def add_fields(sender: Any, instance: Machine, history_instance: Any, **kwargs: Any) -> None:
    for name, value in instance.facts.of(*EXTRA).items():
        setattr(history_instance, name, value)
