"""Checks that manifests name each other: names.py MANIFESTS...

A name may be as long as Kubernetes takes it, and each reference to a Service, Secret, ConfigMap, volume or scaled object is to one
that the same file makes. So a release's name of any length gives one name of each thing.
"""

import re
import sys

import yaml

# Beyond these a server refuses the object, or what its controller makes of it.
MOST = {"Service": 63, "StatefulSet": 52, "Job": 63, "Deployment": 63, "Cluster": 50, "KafkaNodePool": 63}
# Made by an operator, by the name of what it is told of.
OPERATORS = {"Cluster": ["app", "ca"], "Kafka": ["cluster-ca-cert"], "KafkaUser": [""]}
# `http://name:port`, or with a user before the name; and a name of the DNS for each pod.
ADDRESS = re.compile(r"[a-zA-Z]+://(?:[^@/\s]*@)?([a-zA-Z][a-zA-Z0-9.-]*):\d+|_[a-z-]+\._tcp\.([a-zA-Z0-9-]+)\.")
# What the options name that is not of this release.
FOREIGN = {("Service", "collector"), ("Secret", "pager")}
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def walk(node):
    """All mappings in a manifest."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from walk(part)


def texts(node):
    for mapping in walk(node):
        values = list(mapping.values())
        for value in values:
            yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))


def references(manifest):
    """Kinds and names that a manifest refers to."""
    for mapping in walk(manifest):
        for key, kind, of in [
            ("secretKeyRef", "Secret", "name"),
            ("secret", "Secret", "secretName"),
            ("secret", "Secret", "name"),
            ("passwordSecret", "Secret", "name"),
            ("configMap", "ConfigMap", "name"),
            ("service", "Service", "name"),
        ]:
            found = mapping.get(key)
            if isinstance(found, dict) and isinstance(found.get(of), str):
                yield kind, found[of]
        for backend in mapping.get("backendRefs") or []:
            yield "Service", backend["name"]
        if isinstance(mapping.get("serviceName"), str):
            yield "Service", mapping["serviceName"]
        if mapping.get("name") == "KAFKA_BROKERS":
            yield "Service", mapping["value"].split(":")[0]
        target = mapping.get("scaleTargetRef")
        if target:
            yield target.get("kind", "Deployment"), target["name"]
    for text in texts(manifest):
        for match in ADDRESS.finditer(text):
            name = (match.group(1) or match.group(2)).split(".")[0]
            # Of a relay there are pods of its own, or none; and Grafana asks itself.
            if name != "localhost" and not name.endswith("-relay-ops"):
                yield "Service", name


def check(path):
    with open(path) as file:
        manifests = [manifest for manifest in yaml.safe_load_all(file) if manifest]
    made, wrong = set(), []
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if (kind, name) in made:
            wrong.append(f"two of {kind} {name}")
        made.add((kind, name))
        if len(name) > MOST.get(kind, 253) or not all(LABEL.fullmatch(part) for part in name.split(".")):
            wrong.append(f"{kind} {name} has {len(name)} characters")
        for suffix in OPERATORS.get(kind, []):
            made.add(("Secret", "-".join(filter(None, [name, suffix]))))
        if kind == "Cluster":
            made.add(("Service", f"{name}-rw"))
        if kind == "Kafka":
            made.add(("Service", f"{name}-kafka-bootstrap"))
        if kind == "KafkaNodePool":
            pod = f"{manifest['metadata']['labels']['strimzi.io/cluster']}-{name}-00"
            if len(pod) > 63:
                wrong.append(f"a pod of {kind} {name} is called {pod}")
        for key, value in (manifest["metadata"].get("labels") or {}).items():
            if len(str(value)) > 63:
                wrong.append(f"label {key} of {kind} {name} is too long")
    for manifest in manifests:
        for reference in sorted(set(references(manifest))):
            if reference not in made | FOREIGN:
                wrong.append(f"{manifest['kind']} {manifest['metadata']['name']} refers to no {' '.join(reference)}")
    return wrong


if __name__ == "__main__":
    failed = {path: wrong for path in sys.argv[1:] if (wrong := check(path))}
    for path, wrong in failed.items():
        print(path, *sorted(set(wrong)), sep="\n  ")
    sys.exit(bool(failed))
