"""Checks what pods are given: pods.py MANIFESTS...

Every emptyDir has a size, and no password stands in a variable: of what a secret has, only a user's name does.
"""

import sys

import yaml
from names import walk

NAMES = {"KAFKA_SASL_USERNAME"}


def check(path):
    with open(path) as file:
        manifests = [manifest for manifest in yaml.safe_load_all(file) if manifest]
    for manifest in manifests:
        what = f"{manifest['kind']} {manifest['metadata']['name']}"
        for mapping in walk(manifest):
            if "emptyDir" in mapping and "sizeLimit" not in (mapping["emptyDir"] or {}):
                yield f"{what}: the emptyDir {mapping.get('name')} has no size"
            source = mapping.get("valueFrom") or {}
            if "secretKeyRef" in source and mapping["name"] not in NAMES:
                yield f"{what}: {mapping['name']} is a secret's, and a variable"


if __name__ == "__main__":
    wrong = [line for path in sys.argv[1:] for line in check(path)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(bool(wrong))
