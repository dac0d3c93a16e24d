import pytest

from tests.forge.outbox.support import KINDS, READER, PostOffice


@pytest.fixture(autouse=True)
def letters(settings):
    settings.FORGE_MAIL_KINDS = KINDS
    settings.FORGE_MAIL_READER = READER


@pytest.fixture
def post_office(settings):
    """A mail server that Forge sends to."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_TIMEOUT = "127.0.0.1", 5
    with PostOffice() as office:
        settings.EMAIL_PORT = office.port
        yield office
