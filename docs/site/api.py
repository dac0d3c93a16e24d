"""The API from docs/openapi.yaml: a page for each tag, and one with every schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from docs.site.text import block, cell, literal, plain, table
from forge.env import BASE_DIR

METHODS = ("get", "post", "put", "patch", "delete")
Schema = dict[str, Any]


def pages() -> dict[str, str]:
    """File name → text."""
    document = yaml.load((BASE_DIR / "docs/openapi.yaml").read_text(), Loader=yaml.CSafeLoader)
    reference = Reference(document)
    tags = sorted({tag for _, _, operation in reference.operations() for tag in operation["tags"]})
    made = {f"api-{tag}.md": reference.page_of(tag) for tag in tags}
    return {"api.md": reference.index(tags), "api-schemas.md": reference.schemas(), **made}


class Reference:
    """The document, told in Markdown."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._schemas: dict[str, Schema] = document["components"]["schemas"]

    def operations(self) -> Iterator[tuple[str, str, Schema]]:
        """Path, method and operation of each."""
        for path, methods in self._document["paths"].items():
            yield from ((path, method, methods[method]) for method in METHODS if method in methods)

    def index(self, tags: list[str]) -> str:
        info = self._document["info"]
        rows = [
            (
                f"[{literal(f'{method.upper()} {path}')}](api-{operation['tags'][0]}.md#{_anchor(method, path)})",
                _told(operation),
            )
            for path, method, operation in self.operations()
        ]
        names = "\n".join([*(f"api-{tag}" for tag in tags), "api-schemas"])
        return "\n\n".join(
            [
                "# API",
                (
                    f"{info['title']} {info['version']}, from `docs/openapi.yaml`. How it answers is in"
                    " [Using the API](../using-the-api.md), each refusal in [Problem codes](problems.md)."
                ),
                table(("Request", "Does"), rows),
                f"```{{toctree}}\n:hidden:\n\n{names}\n```\n",
            ]
        )

    def page_of(self, tag: str) -> str:
        parts = [f"# {tag}"]
        for path, method, operation in self.operations():
            if operation["tags"][0] == tag:
                parts += self._operation(path, method, operation)
        return "\n\n".join(parts) + "\n"

    def schemas(self) -> str:
        parts = [
            "# Schemas",
            "What requests and answers are made of; `*` marks what is always there, or must be given.",
        ]
        for name, schema in sorted(self._schemas.items()):
            parts += [f"({_schema_anchor(name)})=\n## {name}", *self._schema(schema)]
        return "\n\n".join(parts) + "\n"

    def _operation(self, path: str, method: str, operation: Schema) -> Iterator[str]:
        yield f"({_anchor(method, path)})=\n## {method.upper()} {plain(path)}"
        yield _prose(operation.get("description", ""))
        if "deprecated" in operation:
            yield f"**Deprecated** since {operation['x-deprecated-since']}: it stays until {operation['x-sunset']}."
        yield f"Scope of the token: {literal(_scope(method))}. Operation id: {literal(operation['operationId'])}."
        if parameters := operation.get("parameters"):
            yield "**Parameters**"
            yield table(("Name", "In", "Type", "Meaning"), [self._parameter(each) for each in parameters])
        for media, body in operation.get("requestBody", {}).get("content", {}).items():
            yield f"**Body** ({literal(media)}): {self._type(body.get('schema', {}))}"
            yield from self._example(body)
            if media == "application/json":
                break
        yield "**Answers**"
        yield table(("Status", "Body", "Means"), [self._answer(*each) for each in operation["responses"].items()])

    def _parameter(self, given: Schema) -> tuple[str, str, str, str]:
        name = literal(given["name"]) + ("\\*" if given.get("required") else "")
        text = given.get("description", "").partition("* `")[0]  # then come the values, which the type has
        return name, given["in"], self._type(given.get("schema", {})), plain(text)

    def _answer(self, status: str, answer: Schema) -> tuple[str, str, str]:
        if "$ref" in answer:
            answer = self._document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        bodies = [
            f"{literal(media)} {self._type(body.get('schema', {}))}"
            for media, body in answer.get("content", {}).items()
        ]
        return status, ", ".join(bodies), plain(answer.get("description", ""))

    def _example(self, body: Schema) -> Iterator[str]:
        examples = (
            [body["example"]] if "example" in body else [each["value"] for each in body.get("examples", {}).values()]
        )
        for example in examples:
            yield block(
                example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False), "json"
            )

    def _schema(self, schema: Schema) -> Iterator[str]:
        if text := schema.get("description", "").partition("* `")[0]:
            yield _prose(text)
        if "enum" in schema:
            yield "One of " + ", ".join(literal(value) for value in schema["enum"]) + "."
        if properties := schema.get("properties"):
            required = set(schema.get("required", ()))
            yield table(
                ("Field", "Type", "Meaning"),
                [
                    (literal(name) + ("\\*" if name in required else ""), self._type(each), _meaning(each))
                    for name, each in properties.items()
                ],
            )
        elif "enum" not in schema:
            yield self._type(schema)

    def _type(self, schema: Schema) -> str:
        """The type in one line, with links to the schemas that it names."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f"[{name}](#{_schema_anchor(name)})"
        for joined, word in (("allOf", " and "), ("oneOf", " or "), ("anyOf", " or ")):
            if joined in schema:
                return word.join(dict.fromkeys(self._type(each) for each in schema[joined]))
        if "enum" in schema:
            return " ".join(literal(value) for value in schema["enum"])
        kinds = schema.get("type", "any")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if "array" in kinds:
            return f"list of {self._type(schema.get('items', {}))}" + _or_null(kinds)
        named = [schema.get("format", kind) if kind == "string" else kind for kind in kinds if kind != "null"]
        return " or ".join(named) + _or_null(kinds)


def _or_null(kinds: list[str]) -> str:
    return " or null" if "null" in kinds else ""


def _meaning(schema: Schema) -> str:
    bounds = {
        "default": "default",
        "minimum": "least",
        "maximum": "most",
        "minLength": "shortest",
        "maxLength": "longest",
    }
    told = [f"{word} {literal(json.dumps(schema[key]))}" for key, word in bounds.items() if key in schema]
    if "deprecated" in schema:
        told += [f"deprecated since {schema['x-deprecated-since']}, stays until {schema['x-sunset']}"]
    told += [f"matches {literal(schema['pattern'])}"] if "pattern" in schema else []
    text = plain(schema.get("description", "").partition("* `")[0])
    return cell(" ".join(filter(None, [text, f"({', '.join(told)})" if told else ""]))).replace("\\|", "|")


def _told(operation: Schema) -> str:
    """The first sentence."""
    return plain(" ".join(operation.get("description", "").split("\n\n")[0].split()))


def _prose(text: str) -> str:
    return "\n\n".join(plain(" ".join(part.split())) for part in text.split("\n\n"))


def _scope(method: str) -> str:
    return "read" if method == "get" else "write"


def _anchor(method: str, path: str) -> str:
    letters = "".join(letter if letter.isalnum() else "-" for letter in f"{method}{path}")
    return "-".join(filter(None, letters.split("-")))


def _schema_anchor(name: str) -> str:
    return f"schema-{name.lower()}"
