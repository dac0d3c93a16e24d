"""An export as an answer over HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import StreamingHttpResponse

from audit.exports.formats import FORMATS


def file_response(name: str, form: str, pieces: Iterable[bytes]) -> StreamingHttpResponse:
    """The pieces of a file in the format `form` as an answer that browsers save under `name`."""
    disposition = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(pieces, content_type=FORMATS[form].media_type, headers=disposition)
