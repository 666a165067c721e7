"""proto/openapi.yaml, and whether what the API answers keeps to it.

Every Reply of kit.daemon comes through `document().check`: an answer that the document does not
have, or has otherwise, fails the test that asked.
"""

import functools
import json
import os
import pathlib
import re
import urllib.parse

import jsonschema
import yaml

PATH = pathlib.Path(os.environ["HOOKWHEEL_SOURCE_DIR"]) / "proto/openapi.yaml"
METHODS = ("get", "put", "post", "delete", "patch")
OPS_PATHS = ("/healthz", "/readyz", "/metrics")
# Headers that an answer has only where the document says so.
TELLING = ("allow", "idempotency-replayed", "location", "retry-after", "www-authenticate")

# What was wrong in this test so far; a test that catches the exception does not get away with it.
complaints = []


class Undocumented(AssertionError):
    pass


class Asked:
    """A request, as it was sent."""

    def __init__(self, method, target, headers, body, door="api"):
        self.method = method
        self.path, _, query = target.partition("?")
        self.query = urllib.parse.parse_qsl(query, keep_blank_values=True)
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body
        self.door = door

    def __str__(self):
        return "{} {}".format(self.method, self.path)


class Schema:
    """A JSON schema; of a text where that is what is looked at (headers, parameters)."""

    def __init__(self, schema):
        self.is_number = schema.get("type") == "integer"
        self.validator = jsonschema.Draft202012Validator(closed(schema))

    def complaint(self, value):
        error = jsonschema.exceptions.best_match(self.validator.iter_errors(value))
        if error is None:
            return None
        return "{}: {}".format(error.json_path, error.message)

    def complaint_of_text(self, text):
        if self.is_number:
            return self.complaint(int(text)) if text.isdigit() else "not a number: " + text
        return self.complaint(text)


class Content:
    """What a body may be: of one media type."""

    def __init__(self, content):
        (self.media_type, media), = content.items()
        self.schema = Schema(media["schema"])
        self.examples = {name: one["value"] for name, one in media.get("examples", {}).items()}

    def complaint(self, content_type, body):
        if (content_type or "").split(";")[0].strip().lower() != self.media_type:
            return "is {}, not {}".format(content_type, self.media_type)
        try:
            text = body.decode()
            value = json.loads(text) if self.media_type == "application/json" else text
        except ValueError as error:
            return str(error)
        return self.schema.complaint(value)


class Response:
    def __init__(self, response):
        self.content = Content(response["content"]) if "content" in response else None
        self.headers = {name.lower(): (one.get("required", False), Schema(one["schema"]))
                        for name, one in response.get("headers", {}).items()}

    def complaints(self, asked, reply):
        if self.content is None or asked.method == "HEAD":
            if reply.body:
                yield "has a body: {!r}".format(reply.body[:200])
        if self.content is None:
            if reply.headers["content-type"] is not None:
                yield "has a content-type"
        elif asked.method != "HEAD":
            yield prefixed("body", self.content.complaint(reply.headers["content-type"],
                                                          reply.body))
        yield from self._header_complaints(reply)

    def _header_complaints(self, reply):
        for name, (is_required, schema) in self.headers.items():
            value = reply.headers[name]
            if value is not None:
                yield prefixed(name, schema.complaint_of_text(value))
            elif is_required:
                yield "lacks the header " + name
        for name in TELLING:
            if name in reply.headers and name not in self.headers:
                yield "has the header " + name


class Operation:
    def __init__(self, template, method, operation, parameters):
        self.template = template
        self.method = method.upper()
        self.id = operation["operationId"]
        self.scopes = [scope for one in operation.get("security", []) for scope in one["token"]]
        self.is_open = operation.get("security") == []
        self.parameters = {(one["in"], one["name"].lower()): Schema(one["schema"])
                           for one in parameters + operation.get("parameters", [])}
        body = operation.get("requestBody")
        self.request = Content(body["content"]) if body else None
        self.needs_body = body is not None and body.get("required", False)
        self.responses = {int(status): Response(one)
                          for status, one in operation["responses"].items()}

    def query(self):
        return sorted(name for place, name in self.parameters if place == "query")

    def complaints(self, asked, reply):
        response = self.responses.get(reply.status)
        if response is None:
            yield "the status is not documented"
            return
        yield from response.complaints(asked, reply)
        if 200 <= reply.status < 300 and self.template not in OPS_PATHS:
            yield from self._request_complaints(asked)

    def _request_complaints(self, asked):
        """What was taken has to be what the document says may be sent."""
        for name, value in asked.query:
            schema = self.parameters.get(("query", name))
            yield prefixed("parameter " + name, schema.complaint_of_text(value) if schema
                           else "is not documented")
        if self.request is not None and (asked.body or self.needs_body):
            yield prefixed("request", self.request.complaint(asked.headers.get("content-type"),
                                                             asked.body))


class Document:
    def __init__(self, text):
        self.raw = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.tree = inlined(self.raw, self.raw)
        self.operations = [Operation(template, method, item[method], item.get("parameters", []))
                           for template, item in self.tree["paths"].items()
                           for method in METHODS if method in item]
        self.unmatched = {int(status): Response(one)
                          for status, one in self.tree["x-unmatched"].items()}
        self.by_path = {}
        for operation in self.operations:
            self.by_path.setdefault(operation.template, {})[operation.method] = operation
        self.patterns = [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))), methods)
                         for template, methods in self.by_path.items()]
        self.seen = set()  # (operation id, status)

    def check(self, asked, reply):
        found = [one for one in self._complaints(asked, reply) if one is not None]
        if found:
            complaints.append("{}: {}: {}; {!r}".format(asked, reply.status, "; ".join(found),
                                                        reply.body[:500]))
            raise Undocumented(complaints[-1])

    def methods_at(self, asked):
        """{method: operation} of the path; empty where there is nothing."""
        for pattern, methods in self.patterns:
            if pattern.fullmatch(asked.path):
                return methods if asked.door == "api" or asked.path in OPS_PATHS else {}
        return {}

    def _complaints(self, asked, reply):
        methods = self.methods_at(asked)
        operation = methods.get("GET" if asked.method == "HEAD" else asked.method)
        if operation is not None:
            self.seen.add((operation.id, reply.status))
            return operation.complaints(asked, reply)
        if asked.method == "OPTIONS" and reply.status == 204 and methods:
            return options_complaints(methods, reply)
        return self._unmatched_complaints(asked, reply, methods)

    def _unmatched_complaints(self, asked, reply, methods):
        is_elsewhere = not methods or asked.path in OPS_PATHS
        if reply.status not in self.unmatched or (reply.status == 404 and not is_elsewhere) or \
                (reply.status == 405 and not methods):
            return ["not what an unlisted {} gets".format("method" if methods else "path")]
        return self.unmatched[reply.status].complaints(asked, reply)


def options_complaints(methods, reply):
    wanted = {"OPTIONS", *methods} | ({"HEAD"} if "GET" in methods else set())
    allowed = (reply.headers["allow"] or "").split(", ")
    if sorted(allowed) != sorted(wanted):
        yield "allows {}, not {}".format(allowed, sorted(wanted))
    if reply.body:
        yield "has a body"


def prefixed(what, complaint):
    return None if complaint is None else "{}: {}".format(what, complaint)


def inlined(node, root):
    """The same without $ref, which has nothing but annotations beside it."""
    if isinstance(node, list):
        return [inlined(one, root) for one in node]
    if not isinstance(node, dict):
        return node
    if not isinstance(node.get("$ref"), str):
        return {name: inlined(one, root) for name, one in node.items()}
    beside = {name: one for name, one in node.items() if name != "$ref"}
    if beside.keys() - {"description", "default"}:
        raise AssertionError("beside {}: {}".format(node["$ref"], sorted(beside)))
    target = root
    for name in node["$ref"].split("/")[1:]:
        target = target[name]
    return {**inlined(target, root), **beside}


def closed(schema):
    """The same, where it is one object extended and closed: as one closed object, which is
    checked in a third of the time."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(one) for name, one in schema.items()}
    base = schema.get("allOf")
    if schema.get("unevaluatedProperties") is not False or len(base) != 1:
        return schema
    return {"type": "object", "additionalProperties": False,
            "required": base[0]["required"] + schema.get("required", []),
            "properties": {**base[0]["properties"], **schema.get("properties", {})}}


@functools.lru_cache(maxsize=None)
def document():
    return Document(PATH.read_text("utf-8"))
