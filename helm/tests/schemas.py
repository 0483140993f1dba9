"""Makes JSON schemas, a file a kind, that kubeconform reads: of Kubernetes' own kinds from the PyPI package kubernetes-validate, of
operators' kinds from their CustomResourceDefinitions. Strict: a field that is not in the schema is an error.

    python3 schemas.py OUT KUBERNETES_SCHEMAS CRD.yaml...
"""

import json
import pathlib
import sys

import yaml

REFS = "/api/_definitions.json#"


def references(part):
    """The names of the definitions that a part of a schema refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rsplit("/", 1)[1]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def standalone(schema, definitions):
    """The schema with all that it refers to inside."""
    needed, found = set(references(schema)), set()
    while needed:
        name = needed.pop()
        found.add(name)
        needed |= set(references(definitions[name])) - found
    schema = {key: value for key, value in schema.items() if key not in ("$schema", "$id", "id")}
    schema["$defs"] = {name: definitions[name] for name in sorted(found)}
    return json.loads(json.dumps(schema).replace(REFS, "#"))


def strict(schema):
    """No field beyond those named, wherever fields are named."""
    if isinstance(schema, dict):
        preserves = schema.get("x-kubernetes-preserve-unknown-fields")
        if "properties" in schema and "additionalProperties" not in schema and not preserves:
            schema["additionalProperties"] = False
        # A number or a text; and what is nullable may be null.
        if schema.pop("x-kubernetes-int-or-string", False):
            schema.pop("type", None)
            schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        for value in schema.values():
            strict(value)
    elif isinstance(schema, list):
        for value in schema:
            strict(value)
    return schema


def kubernetes(source, out):
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    for path in source.glob("*-v*.json"):
        schema = json.loads(path.read_text())
        kind = schema.get("properties", {}).get("kind", {}).get("enum")
        if kind:
            (out / path.name).write_text(json.dumps(standalone(schema, definitions)))


def custom(path, out):
    for crd in yaml.safe_load_all(path.read_text()):
        if not crd or crd["kind"] != "CustomResourceDefinition":
            continue
        spec = crd["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            group = spec["group"].split(".")[0]
            name = f"{spec['names']['kind'].lower()}-{group}-{version['name']}.json"
            (out / name).write_text(json.dumps(schema))


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    kubernetes(pathlib.Path(sys.argv[2]), out)
    for path in sys.argv[3:]:
        custom(pathlib.Path(path), out)


main()
