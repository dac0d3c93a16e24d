"""`/api/v1/audit/`: the log, as far as the caller's role lets it be seen."""

from audit.api.filters import AuditLogFilterSet
from audit.api.serializers import AuditLogSerializer
from audit.models import AuditLog
from forge.api.views import ReadViewSet


class AuditLogViewSet(ReadViewSet):
    """Who did what: all of it for auditors and admins, a lead's teams, one's own otherwise; none for finance."""

    queryset = AuditLog.objects.all()
    serializer_class = AuditLogSerializer
    filterset_class = AuditLogFilterSet
    ordering_fields = ("timestamp",)
    ordering = "-timestamp"
    audit_resource = "AuditLog"
