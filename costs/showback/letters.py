"""The mail that brings a monthly report: its figures in words, and the PDF."""

from __future__ import annotations

from costs.showback.head import utc
from costs.showback.models import IssuedReport, ReportFile
from costs.showback.permissions import may_have
from costs.showback.table import money
from forge.accounts.models import User
from forge.outbox.letters import Attachment, Letter, NothingToTell, Reader
from forge.outbox.models import Mail

KIND = "costs.report"


def monthly(mail: Mail, reader: Reader) -> Letter:
    """The report that was issued; raises NothingToTell to somebody whose role no longer lets them have it."""
    report = IssuedReport.objects.select_related("organization", "team", "previous").get(pk=mail.target_id)
    person = User.objects.get(pk=mail.recipient_id)
    if not may_have(person, report.organization_id, report.team_id):
        raise NothingToTell("the recipient's role no longer covers the report")
    what = f"{report.get_kind_display().lower()} of {report.month:%B %Y} by {report.get_by_display()}"
    whose = f"team {report.team.name}" if report.team else report.organization.name
    amount = f"{money(report.amount)} {report.currency}"
    return Letter(
        subject=f"Forge: {what}, {whose}: {amount}",
        sentence=f"This is the {what} for {whose}.",
        rows=(
            ("Total", amount),
            ("Month", f"{report.month:%Y-%m}, in UTC"),
            ("Status", "provisional" if report.is_provisional else "final"),
            ("Metered through", utc(report.metered_through)),
            *_correction(report),
            ("SHA-256 of the PDF", report.sha256),
        ),
        paragraphs=_paragraphs(report),
        attachments=_attachments(report),
    )


def _correction(report: IssuedReport) -> list[tuple[str, str]]:
    if report.previous is None:
        return []
    difference = report.amount - report.previous.amount
    return [("Corrects", f"{money(report.previous.amount)} of {utc(report.previous.issued_at)} by {money(difference)}")]


def _paragraphs(report: IssuedReport) -> list[str]:
    said = ["Every figure is in the console under Issued reports, where the report can be made again, also as CSV."]
    if report.is_provisional:
        said.insert(0, "Metering had not come to the end of the month when it was made: amounts will still change.")
    elif former := _provisional(report):
        said.insert(0, f"It takes the place of the provisional one of {utc(former.issued_at)}.")
    if not ReportFile.objects.filter(report=report).exists():
        said.insert(0, "It was sent so late that the file is no longer kept; make the report again.")
    return said


def _provisional(report: IssuedReport) -> IssuedReport | None:
    """The report that was mailed before metering had come to the month's end."""
    same = {name: getattr(report, name) for name in ("organization_id", "month", "team", "kind", "by")}
    return IssuedReport.objects.filter(**same, is_scheduled=True, is_provisional=True).first()


def _attachments(report: IssuedReport) -> list[Attachment]:
    name = f"{report.kind}-{report.by}-{report.month:%Y-%m}.pdf".lower().replace("_", "-")
    files = ReportFile.objects.filter(report=report).values_list("content", flat=True)
    return [Attachment(name, bytes(content), "application/pdf") for content in files]
