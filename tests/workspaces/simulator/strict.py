"""Holds every answer of a server to botocore's own service model, more strictly than botocore itself does."""

import json
import re
from collections.abc import Iterator
from typing import Any

from botocore.client import BaseClient
from botocore.model import OperationModel, Shape

# Errors that every AWS service may answer, beside those that an operation declares: "Common Errors" in each API
# reference, and what the JSON 1.1 protocol itself refuses.
COMMON_ERRORS = {
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
    kinds = {"structure": dict, "list": list, "string": str, "boolean": bool, "integer": int, "timestamp": (int, float)}
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
    elif shape.type_name == "list":
        yield from _size(shape, len(value), path)
        for number, item in enumerate(value):
            yield from faults(shape.member, item, f"{path}[{number}]")
    elif shape.type_name == "string":
        yield from _size(shape, len(value), path)
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value!r} is none of {shape.enum}"
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            yield f"{path}: {value!r} does not match {pattern}"


def _size(shape: Shape, length: int, path: str) -> Iterator[str]:
    if length < shape.metadata.get("min", 0) or length > shape.metadata.get("max", length):
        yield f"{path}: a length of {length} is outside {shape.metadata}"


def _check_answer(operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
    document = json.loads(response_dict["body"])
    if response_dict["status_code"] == 200:
        found = list(faults(operation_model.output_shape, document))
    else:
        found = list(_error_faults(operation_model, document))
    if response_dict["headers"].get("Content-Type") != "application/x-amz-json-1.1":
        found.append(f"the content type is {response_dict['headers'].get('Content-Type')}")
    assert not found, f"{operation_model.name}: {found}"


def _error_faults(operation_model: OperationModel, document: dict[str, Any]) -> Iterator[str]:
    document = dict(document)
    code = document.pop("__type")
    declared = {shape.name: shape for shape in operation_model.error_shapes}
    if code in declared:
        yield from faults(declared[code], document, code)
    elif code not in COMMON_ERRORS:
        yield f"{code} is neither declared by the operation nor common"
