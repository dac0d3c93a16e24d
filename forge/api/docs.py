"""The OpenAPI schema and its page, open to everybody and without any other host."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView


class OncePerProcess(SchemaGenerator):
    """Makes the public schema once: it is the same for everybody and takes about a second."""

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        return _public_schema() if public else super().get_schema(request, public)


@cache
def _public_schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


class SchemaView(SpectacularAPIView):
    """`/api/v1/schema/` as JSON, or as YAML to those who accept that."""

    generator_class = OncePerProcess
    renderer_classes = (OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer, OpenApiYamlRenderer2)
    authentication_classes = ()
    permission_classes = ()


class DocsView(SpectacularSwaggerSplitView):
    """`/api/v1/docs/`: the schema to read and try; scripts and styles come from the package, none inline."""

    authentication_classes = ()
    permission_classes = ()
    url_name = "schema"
