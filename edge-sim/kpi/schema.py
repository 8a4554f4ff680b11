"""Checks a value against the part of JSON Schema that schema.json uses: type, enum, const, required, properties,
additionalProperties, items, minItems, maxItems, minimum, pattern, anyOf, $ref into $defs. A keyword that it does not know is an error:
a schema is not to promise what nobody checks."""
import re

TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
}  # fmt: skip
SILENT = {"$schema", "$id", "$defs", "title", "description"}


def is_type(value, name):
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def errors(value, schema, root=None, where="$"):
    """All that is wrong, as "path: what"."""
    root = schema if root is None else root
    found = []
    for keyword, wanted in schema.items():
        if keyword in SILENT:
            continue
        check = CHECKS.get(keyword)
        if check is None:
            raise ValueError(f"schema at {where}: unknown keyword {keyword}")
        found += check(value, wanted, schema, root, where)
    return found


def check_type(value, wanted, _schema, _root, where):
    names = wanted if isinstance(wanted, list) else [wanted]
    return [] if any(is_type(value, n) for n in names) else [f"{where}: expected {' or '.join(names)}, found {type(value).__name__}"]


def check_properties(value, wanted, _schema, root, where):
    if not isinstance(value, dict):
        return []
    return [e for name, s in wanted.items() if name in value for e in errors(value[name], s, root, f"{where}.{name}")]


def check_additional(value, wanted, schema, root, where):
    if not isinstance(value, dict):
        return []
    more = [name for name in value if name not in schema.get("properties", {})]
    if wanted is False:
        return [f"{where}: {name} is not in the schema" for name in more]
    return [e for name in more for e in errors(value[name], wanted, root, f"{where}.{name}")] if isinstance(wanted, dict) else []


def check_items(value, wanted, _schema, root, where):
    return [e for i, v in enumerate(value) for e in errors(v, wanted, root, f"{where}[{i}]")] if isinstance(value, list) else []


def check_ref(value, wanted, _schema, root, where):
    return errors(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, where)


def check_any_of(value, wanted, _schema, root, where):
    tried = [errors(value, s, root, where) for s in wanted]
    return [] if any(not t for t in tried) else [f"{where}: none of anyOf: " + "; ".join(t[0] for t in tried)]


def simple(good, text):
    def check(value, wanted, _schema, _root, where):
        return [] if good(value, wanted) else [f"{where}: {text} {wanted!r}, found {value!r}"]

    return check


CHECKS = {
    "type": check_type,
    "properties": check_properties,
    "additionalProperties": check_additional,
    "items": check_items,
    "$ref": check_ref,
    "anyOf": check_any_of,
    "required": lambda v, wanted, s, r, where: [f"{where}: {n} is missing" for n in wanted if isinstance(v, dict) and n not in v],
    "enum": simple(lambda v, w: v in w, "expected one of"),
    "const": simple(lambda v, w: v == w, "expected"),
    "minItems": simple(lambda v, w: not isinstance(v, list) or len(v) >= w, "expected at least so many:"),
    "maxItems": simple(lambda v, w: not isinstance(v, list) or len(v) <= w, "expected at most so many:"),
    "minimum": simple(lambda v, w: not is_type(v, "number") or v >= w, "expected at least"),
    "pattern": simple(lambda v, w: not isinstance(v, str) or re.search(w, v), "expected the pattern"),
}
