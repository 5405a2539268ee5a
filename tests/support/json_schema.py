"""Checks values against the part of JSON Schema (2020-12) that data/openapi.json uses. A keyword that is not known here
is an error, so that no rule of the description goes unchecked."""

import datetime
import re
import uuid

NOTES = {"description", "default", "example"}


def _is(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[name])


def _date_time(text):
    datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")


def _uri(text):
    """A scheme and what it says (RFC 3986, section 3)."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", text):
        raise ValueError(text)


FORMATS = {"date-time": _date_time, "uuid": uuid.UUID, "uri": _uri}


class Schemas:
    """The schemas of one document, which may name each other."""

    def __init__(self, document):
        self.document = document

    def find(self, reference):
        value = self.document
        for part in reference.removeprefix("#/").split("/"):
            value = value[part]
        return value

    def resolve(self, thing):
        return self.find(thing["$ref"]) if "$ref" in thing else thing

    def problems(self, schema, value, where="$"):
        """What is wrong with the value, a sentence each."""
        for keyword, rule in schema.items():
            if keyword in NOTES:
                continue
            check = getattr(self, "_" + keyword.lstrip("$"), None)
            if check is None:
                raise KeyError(f"{where}: the keyword {keyword} is not known to tests/support/json_schema.py")
            yield from check(rule, value, where, schema)

    def valid(self, schema, value):
        return next(self.problems(schema, value), None) is None

    def _ref(self, rule, value, where, _):
        yield from self.problems(self.find(rule), value, where)

    def _type(self, rule, value, where, _):
        if not any(_is(value, name) for name in ([rule] if isinstance(rule, str) else rule)):
            yield f"{where} is not of type {rule}: {value!r}"

    def _enum(self, rule, value, where, _):
        if value not in rule:
            yield f"{where} is none of {rule}: {value!r}"

    def _const(self, rule, value, where, _):
        if value != rule:
            yield f"{where} is not {rule!r}: {value!r}"

    def _allOf(self, rule, value, where, _):
        for schema in rule:
            yield from self.problems(schema, value, where)

    def _anyOf(self, rule, value, where, _):
        if not any(self.valid(schema, value) for schema in rule):
            yield f"{where} matches none of {len(rule)} schemas: {value!r}"

    def _not(self, rule, value, where, _):
        if self.valid(rule, value):
            yield f"{where} matches what it must not: {value!r}"

    def _properties(self, rule, value, where, _):
        if isinstance(value, dict):
            for name, schema in rule.items():
                if name in value:
                    yield from self.problems(schema, value[name], f"{where}.{name}")

    def _required(self, rule, value, where, _):
        if isinstance(value, dict):
            for name in rule:
                if name not in value:
                    yield f"{where} has no {name}"

    def _additionalProperties(self, rule, value, where, schema):
        if isinstance(value, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                if rule is False:
                    yield f"{where} has a member that is not described: {name}"
                else:
                    yield from self.problems(rule, value[name], f"{where}.{name}")

    def _propertyNames(self, rule, value, where, _):
        if isinstance(value, dict):
            for name in value:
                yield from self.problems(rule, name, f"{where} (a name)")

    def _maxProperties(self, rule, value, where, _):
        if isinstance(value, dict) and len(value) > rule:
            yield f"{where} has more than {rule} members"

    def _items(self, rule, value, where, _):
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from self.problems(rule, item, f"{where}[{number}]")

    def _minItems(self, rule, value, where, _):
        if isinstance(value, list) and len(value) < rule:
            yield f"{where} has fewer than {rule} items"

    def _maxItems(self, rule, value, where, _):
        if isinstance(value, list) and len(value) > rule:
            yield f"{where} has more than {rule} items"

    def _minimum(self, rule, value, where, _):
        if _is(value, "number") and value < rule:
            yield f"{where} is below {rule}: {value}"

    def _maximum(self, rule, value, where, _):
        if _is(value, "number") and value > rule:
            yield f"{where} is above {rule}: {value}"

    def _minLength(self, rule, value, where, _):
        if isinstance(value, str) and len(value) < rule:
            yield f"{where} is shorter than {rule}"

    def _maxLength(self, rule, value, where, _):
        if isinstance(value, str) and len(value) > rule:
            yield f"{where} is longer than {rule}"

    def _pattern(self, rule, value, where, _):
        if isinstance(value, str) and not re.search(rule.replace("$", r"\Z"), value):
            yield f"{where} does not match {rule}: {value!r}"

    def _format(self, rule, value, where, _):
        if isinstance(value, str):
            try:
                FORMATS[rule](value)
            except ValueError:
                yield f"{where} is no {rule}: {value!r}"
