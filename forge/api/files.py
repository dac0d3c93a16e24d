"""Files as answers: what a HEAD is told of one that only a GET has written."""

from __future__ import annotations

from django.http import StreamingHttpResponse


def foretold(media_type: str) -> StreamingHttpResponse:
    """The answer to a HEAD of a file: all that is known before it is written.

    Nothing is written for it, it takes nobody's turn, and no export is recorded, for nobody gets one. Its length,
    digest and name are the file's, so they are left out (RFC 9110, 9.3.2); an answer in pieces gets no length of 0.
    """
    return StreamingHttpResponse((), content_type=media_type, headers={"X-Content-Type-Options": "nosniff"})
