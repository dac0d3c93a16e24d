"""Lists of the console as people keep them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from forge.accounts.models.people import Organization, User
from forge.db.models import TimestampedModel, UUIDModel


class SavedListQuerySet(models.QuerySet["SavedList"]):
    def visible_to(self, user: User) -> SavedListQuerySet:
        """One's own alone."""
        return self.filter(user_id=user.id)


class SavedList(UUIDModel, TimestampedModel):
    """The filters, search and order of a list of the console that somebody wants to come back to, under a name."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, db_index=False, null=True, blank=True, related_name="+"
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="saved_lists")
    model_label = models.CharField(max_length=100, help_text="Whose list it is, such as workspaces.workspace.")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, help_text="The part of the list's address behind the question mark.")

    objects = SavedListQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "model_label", "name"], name="accounts_savedlist_one_per_name"),
            models.CheckConstraint(
                name="accounts_savedlist_is_named_and_filters", condition=~Q(name="") & ~Q(query="")
            ),
        ]

    def __str__(self) -> str:
        return self.name
