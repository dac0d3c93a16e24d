"""The product's WSGI application with one address more, the bare view's: both sides answer from the same process."""

from django.test.utils import override_settings

from forge.wsgi import application

__all__ = ["application"]

override_settings(ROOT_URLCONF="tests.bench.bare.view").enable()
