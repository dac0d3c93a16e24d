"""Holds every answer of a server to botocore's own service model, more strictly than botocore itself does."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from botocore.client import BaseClient
from botocore.model import OperationModel, Shape

# Errors that every AWS service may answer, beside those that an operation declares: "Common Errors" in each API
# reference, and what the JSON 1.1 protocol itself refuses.
COMMON_ERRORS = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "ThrottlingException",
    "UnrecognizedClientException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "UnknownOperationException",
    "ValidationException",
}


def watch(client: BaseClient) -> BaseClient:
    """Make every answer that this client gets from now on fail the test if it breaks the model."""
    client.meta.events.register("before-parse", _check_answer)
    return client


def faults(shape: Shape | None, value: Any, path: str = "answer") -> Iterator[str]:
    """Everything in which a decoded answer differs from its shape: types, enums, sizes, required, unknown members."""
    if shape is None:
        if value != {}:
            yield f"{path}: the operation has no output"
        return
    if shape.type_name == "double":
        if not isinstance(value, float):
            yield f"{path}: {value!r} is no double"
        return
    kinds = {
        "structure": dict,
        "list": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "long": int,
        "map": dict,
        "timestamp": (int, float),
    }
    kind = kinds[shape.type_name]
    if not isinstance(value, kind) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{path}: {value!r} is no {shape.type_name}"
        return
    if shape.type_name == "structure":
        yield from (f"{path}: lacks {name}" for name in shape.required_members if name not in value)
        for name, item in value.items():
            if name in shape.members:
                yield from faults(shape.members[name], item, f"{path}.{name}")
            else:
                yield f"{path}: has the unknown member {name}"
    elif shape.type_name == "map":
        yield from _size(shape, len(value), path)
        for name, item in value.items():
            yield from faults(shape.key, name, f"{path}.key")
            yield from faults(shape.value, item, f"{path}.{name}")
    elif shape.type_name == "list":
        yield from _size(shape, len(value), path)
        for number, item in enumerate(value):
            yield from faults(shape.member, item, f"{path}[{number}]")
    elif shape.type_name == "string":
        yield from _size(shape, len(value), path)
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value!r} is none of {shape.enum}"
        pattern = shape.metadata.get("pattern")
        if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value):
            yield f"{path}: {value!r} does not match {pattern}"


def _size(shape: Shape, length: int, path: str) -> Iterator[str]:
    if length < shape.metadata.get("min", 0) or length > shape.metadata.get("max", length):
        yield f"{path}: a length of {length} is outside {shape.metadata}"


# Common errors in the words of the query protocol. Services that left it name them in a header.
QUERY_CODES = {"ValidationError", "Throttling", "AccessDenied"}


def _check_answer(operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
    is_query = operation_model.service_model.resolved_protocol == "query"
    found = list((_query_answer if is_query else _json_answer)(operation_model, response_dict))
    assert not found, f"{operation_model.name}: {found}"


def _json_answer(operation_model: OperationModel, response_dict: dict[str, Any]) -> Iterator[str]:
    model = operation_model.service_model
    document = json.loads(response_dict["body"])
    if response_dict["status_code"] == 200:
        yield from faults(operation_model.output_shape, document)
    else:
        yield from _error_faults(operation_model, document, response_dict["headers"])
    expected = f"application/x-amz-json-{model.metadata['jsonVersion']}"
    if response_dict["headers"].get("Content-Type") != expected:
        yield f"the content type is {response_dict['headers'].get('Content-Type')}"


def _query_answer(operation_model: OperationModel, response_dict: dict[str, Any]) -> Iterator[str]:
    """`<…Response><…Result>` around the output, or `<ErrorResponse><Error>` with Type, Code and Message."""
    shape, name = operation_model.output_shape, operation_model.name
    root = ET.fromstring(response_dict["body"])
    names = f"{{{operation_model.service_model.metadata['xmlNamespace']}}}"
    if response_dict["headers"].get("Content-Type") != "text/xml":
        yield f"the content type is {response_dict['headers'].get('Content-Type')}"
    if response_dict["status_code"] == 200:
        outer = [node.tag for node in root]
        if root.tag != f"{names}{name}Response" or outer != [f"{names}{name}Result", f"{names}ResponseMetadata"]:
            yield f"{root.tag} holds {outer}"
        yield from faults(shape, _document(shape, root[0], names))
        return
    (error, _) = root
    told = {node.tag.removeprefix(names): node.text for node in error}
    declared = {one.error_code for one in operation_model.error_shapes}
    if root.tag != f"{names}ErrorResponse" or set(told) != {"Type", "Code", "Message"}:
        yield f"{root.tag} holds {told}"
    if told.get("Code") not in declared | QUERY_CODES | COMMON_ERRORS:
        yield f"{told.get('Code')} is neither declared by the operation nor common"


def _document(shape: Shape | None, node: ET.Element, names: str) -> Any:
    """An XML element as what JSON would hold; the services here answer structures, texts, numbers and times only."""
    match shape.type_name if shape else "string":
        case "structure":
            tags = [(child.tag.removeprefix(names), child) for child in node]
            return {tag: _document(shape.members.get(tag), child, names) for tag, child in tags}
        case "integer":
            return int(node.text or "")
        case "timestamp":
            return datetime.strptime(node.text or "", "%Y-%m-%dT%H:%M:%S%z").timestamp()
    return node.text or ""


def _error_faults(operation_model: OperationModel, document: dict[str, Any], headers: Any) -> Iterator[str]:
    document = dict(document)
    code = document.pop("__type")
    declared = {shape.name: shape for shape in operation_model.error_shapes}
    if code in declared:
        yield from faults(declared[code], document, code)
    elif "awsQueryCompatible" in operation_model.service_model.metadata:
        yield from _query_faults(operation_model, code, headers)
    elif code not in COMMON_ERRORS:
        yield f"{code} is neither declared by the operation nor common"


def _query_faults(operation_model: OperationModel, code: str, headers: Any) -> Iterator[str]:
    """The header says the code of an error whose shape the service, if not the operation, declares."""
    named, _, fault = headers.get("x-amzn-query-error", "").partition(";")
    shapes = {shape.name: shape.error_code for shape in operation_model.service_model.error_shapes}
    if fault not in {"Sender", "Receiver"}:
        yield f"the header x-amzn-query-error is {headers.get('x-amzn-query-error')!r}"
    if shapes.get(code, code) != named or (code not in shapes and named not in QUERY_CODES):
        yield f"{code} is no error {named} of the service"
