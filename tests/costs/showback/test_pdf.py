"""The PDF as somebody reads it: names of any script, pages, and how the figures came about."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from costs.models import MeterMark
from costs.showback.fonts import is_plain
from costs.showback.words import one_line
from forge.env import BASE_DIR
from tests import world as worlds
from tests.costs.showback.support import AFTER, asked, pages_of, pdf_of, spend, written
from tests.factories import TeamFactory, WorkSpaceFactory

pytestmark = pytest.mark.django_db
SCRIPTS = ("Команда", "Ομάδα", "汉语预算部门", "日本語チーム", "한국어팀", "צוות", "فريق", "กลุ่ม")


def test_names_of_every_script_are_shown_and_embedded():
    world = worlds.build()
    for number, name in enumerate(SCRIPTS):
        spend(world, 10 + number, team=TeamFactory(organization=world.organization, name=name))
    content = written(asked(world), "pdf")
    cover, lines = pages_of(content)
    for name in SCRIPTS:
        assert name in cover, name
        assert name in lines, name
    assert b"KurintoSansJP" in content
    assert b"KurintoSansKR" in content


def test_every_page_has_its_number_and_the_first_says_how_the_figures_came_about():
    world = worlds.build()
    spend(world, "1234567.891", basis="METERED")
    spend(world, "411522.63", basis="BILLED", region="elsewhere")
    for _ in range(40):
        spend(world, "0.01", team=TeamFactory(organization=world.organization))
    pages = pdf_of(asked(world))
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page
        assert "generated 2026-03-01 06:30 UTC" in page
    assert len(pages) == 4
    for words in (
        "Showback by team", "February 2026 (UTC month)", "FINAL", "1,646,090.92 USD", "(no spend lag)",
        "Billed 411,522.63 (25.0 %), Metered 1,234,568.29 (75.0 %)",
    ):  # fmt: skip
        assert words in pages[0], words


def test_a_month_that_is_open_or_not_metered_to_its_end_is_provisional():
    world = worlds.build()
    spend(world, 5)
    early = pdf_of(asked(world), datetime(2026, 2, 27, tzinfo=UTC))[0]
    assert "PROVISIONAL" in early
    assert "amounts will change" in early
    machine = WorkSpaceFactory(organization=world.organization, owner=world.engineer, team=world.team)
    mark = MeterMark.objects.filter(workspace=machine)
    mark.update(next_due_at=datetime(2026, 2, 28, 22, tzinfo=UTC), dirty_from=None)
    late = pdf_of(asked(world))[0]
    assert "PROVISIONAL" in late
    assert "Metered through 2026-02-28 22:00 UTC (spend lags 2.0 hours behind)" in late
    mark.update(next_due_at=datetime(2026, 3, 1, tzinfo=UTC))
    assert "FINAL" in pdf_of(asked(world), AFTER)[0]


def test_a_name_is_one_line_that_turns_nothing_around():
    assert one_line("two\r\nlines\tand \u202edrawkcab\x00") == "two lines and drawkcab"
    assert one_line("नेट\u200dवर्क") == "नेट\u200dवर्क"
    assert len(one_line("x" * 5000)) == 200
    assert is_plain("Ünïcode Команда")
    assert not is_plain("فريق")


def test_no_process_loads_what_sets_pages_before_it_writes_a_pdf():
    code = "import sys, django; django.setup(); import costs.showback.services; print({'fpdf'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=BASE_DIR, check=True)
    assert told.stdout.strip() == "set()"
