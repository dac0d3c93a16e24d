"""The wire protocols of the services: from a body to a request, from an answer or a refusal to bytes."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from workspaces.simulator.errors import AwsError
from workspaces.simulator.shape import Boolean, Integer, ListOf, Shape, Structure


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP; with `lost_after_seconds` the connection is closed then and nothing goes back."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    lost_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Json:
    """AWS JSON: the operation is in X-Amz-Target, the error in `__type`.

    A service that moved here from the query protocol names its errors in `x-amzn-query-error` as it did there;
    `renamed` has the names of their shapes where these differ.
    """

    version: str = "1.1"
    message_member: str = "message"
    is_query_compatible: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def unknown_operation(self) -> str:
        return "UnknownOperationException"

    def request(self, body: bytes, shape: Structure) -> Any:
        del shape  # a JSON body says what it is
        try:
            return json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise AwsError("SerializationException", "The request body is not valid JSON.") from error

    def answer(self, operation: str, document: Mapping[str, Any]) -> Answer:
        del operation
        return self._answer(200, document, {})

    def refusal(self, error: AwsError) -> Answer:
        shape = self.renamed.get(error.code, error.code)
        headers = {"x-amzn-ErrorType": shape}
        if self.is_query_compatible:
            fault = "Sender" if error.status < 500 else "Receiver"
            headers["x-amzn-query-error"] = f"{error.code};{fault}"
        return self._answer(error.status, {"__type": shape, self.message_member: error.message}, headers)

    def _answer(self, status: int, document: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        own = {"Content-Type": f"application/x-amz-json-{self.version}", "x-amzn-RequestId": str(uuid.uuid4())}
        return Answer(status, json.dumps(document).encode(), own | headers)


@dataclass(frozen=True, slots=True)
class Query:
    """The query protocol: a form goes in, XML comes out; timestamps are instants in seconds."""

    namespace: str
    timestamps: frozenset[str] = frozenset()

    @property
    def unknown_operation(self) -> str:
        return "InvalidAction"

    def request(self, body: bytes, shape: Structure) -> Any:
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
        except ValueError as error:
            raise AwsError("MalformedQueryString", "The request body is not a form.") from error
        tree: dict[str, Any] = {}
        for name, value in pairs:
            *parents, leaf = name.split(".")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
                if not isinstance(node, dict):
                    raise AwsError("MalformedQueryString", f"{name} contradicts another parameter.")
            node[leaf] = value
        return _typed(shape, tree, "")

    def answer(self, operation: str, document: Mapping[str, Any]) -> Answer:
        result = f"<{operation}Result>{self._elements(document)}</{operation}Result>"
        return self._answer(200, f"{operation}Response", result + "<ResponseMetadata>{id}</ResponseMetadata>")

    def refusal(self, error: AwsError) -> Answer:
        fault = "Sender" if error.status < 500 else "Receiver"
        text = f"<Type>{fault}</Type><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        return self._answer(error.status, "ErrorResponse", f"<Error>{text}</Error>{{id}}")

    def _answer(self, status: int, root: str, content: str) -> Answer:
        request_id = str(uuid.uuid4())
        content = content.replace("{id}", f"<RequestId>{request_id}</RequestId>")
        body = f'<{root} xmlns="{self.namespace}">{content}</{root}>'
        return Answer(status, body.encode(), {"Content-Type": "text/xml", "x-amzn-RequestId": request_id})

    def _elements(self, document: Mapping[str, Any]) -> str:
        return "".join(f"<{name}>{self._text(name, value)}</{name}>" for name, value in document.items())

    def _text(self, name: str, value: Any) -> str:
        if isinstance(value, Mapping):
            return self._elements(value)
        if name in self.timestamps:
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return escape(str(value))


Protocol = Json | Query


def _typed(shape: Shape, value: Any, path: str) -> Any:
    """The texts of a form in the types of a shape; lists are numbered below `member`."""
    match shape:
        case Structure() if isinstance(value, dict):
            known = ((name, member) for name, member in shape.members.items() if name in value)
            return {name: _typed(member, value[name], name) for name, member in known}
        case ListOf() if isinstance(value, dict) and isinstance(value.get("member"), dict):
            numbered = value["member"]
            if not all(number.isdigit() for number in numbered):
                raise AwsError("MalformedQueryString", f"The items of {path} are not numbered.")
            return [_typed(shape.member, numbered[number], path) for number in sorted(numbered, key=int)]
        case Integer() if isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        case Boolean() if value in ("true", "false"):
            return value == "true"
    return value
