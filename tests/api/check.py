"""Sends generated requests to every operation of every OpenAPI page, and checks the answers against the page."""

import argparse
import collections
import sys
import time
import urllib.parse
import uuid

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, strategies
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from store import Shop, Store

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ROLES = ["nobody", "customer", "courier", "manager"]


# The check sends a token with every request of a role, and a parameter without a value is not sent at all.
NOT_SENT = {"- header: violates `required` (was Authorization)", "- query: violates `additionalProperties`"}


def was_not_sent(case, failure, response):
    """Whether all that was to make a request wrong was left out of it on its way."""
    if failure.title != "Schema-violating request accepted":
        return False
    wrong = {line.strip() for line in str(failure).splitlines() if line.strip().startswith("- ")}
    declared = {parameter.name for parameter in case.operation.query}
    sent = urllib.parse.parse_qs(urllib.parse.urlsplit(response.request.url).query, keep_blank_values=True)
    return wrong <= NOT_SENT and set(sent) <= declared


class Check:
    def __init__(self, store, shop, seed):
        self.store, self.shop, self.seed = store, shop, seed
        self.statuses = collections.defaultdict(collections.Counter)
        self.failures = {}
        self.refused = []

    def page(self, service, cases):
        """`cases` requests, shared among the operations of one page."""
        document = self.store.must("GET", f"/api/docs/{service}/openapi.json")
        schema = schemathesis.openapi.from_dict(document)
        operations = [found.ok() for found in schema.get_all_operations()]
        share = -(-cases // len(operations))
        for operation in operations:
            self.operation(operation, share)
            # Chance may have passed a success over.
            for _ in range(3):
                if not self.has_succeeded(operation.label):
                    self.operation(operation, share)

    def has_succeeded(self, label):
        return any(200 <= status < 300 for status in self.statuses[label])

    def operation(self, operation, cases):
        def modes():
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                try:
                    yield operation.as_strategy(generation_mode=mode)
                except Exception as error:  # noqa: BLE001
                    print(f"{operation.label}: no {mode.value} requests: {error}")

        self.seed += 1

        @hypothesis.seed(self.seed)
        @hypothesis.settings(
            max_examples=cases, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @hypothesis.given(
            case=strategies.one_of(*modes()), role=strategies.sampled_from(ROLES), informed=strategies.sampled_from([True, True, True, False])
        )
        def run(case, role, informed):
            self.case(case, role, informed)

        run()

    def case(self, case, role, informed):
        is_positive = case.meta.generation.mode == GenerationMode.POSITIVE
        method, path = case.method.upper(), case.operation.path
        if informed and is_positive:
            case.path_parameters = {**(case.path_parameters or {}), **self.known(case, role)}
            case.body = self.shop.body(path, case.body)
            # Made up, they are refused for what they say.
            for precondition in ("If-Match", "If-None-Match"):
                (case.headers or {}).pop(precondition, None)
        if is_positive and case.headers and "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = str(uuid.uuid4())
        token = self.shop.token(method, path, role)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        arguments = case.as_transport_kwargs(base_url=self.store.base, headers=headers)
        try:
            response = case.call(base_url=self.store.base, headers=headers, timeout=30)
        except requests.RequestException as error:
            self.fail(case, "the connection was cut", error, headers)
            return
        status = response.status_code
        self.statuses[case.operation.label][status] += 1
        if 400 <= status < 500:
            self.refused.append((case.operation.label, status, arguments))
        try:
            case.validate_response(response, checks=CHECKS, headers=headers)
            failures = []
        except schemathesis.core.failures.FailureGroup as group:
            failures = group.exceptions
        except schemathesis.core.failures.Failure as failure:
            failures = [failure]
        for failure in failures:
            if not was_not_sent(case, failure, response):
                self.fail(case, failure.title, failure, headers)

    def known(self, case, role):
        known = self.shop.parameters(case.operation.path, role)
        return {name: known[name] for name in (case.path_parameters or {}) if name in known}

    def fail(self, case, title, error, headers):
        key = (case.operation.label, title)
        if key not in self.failures:
            self.failures[key] = f"{error}\n{case.as_curl_command(headers={name: '…' for name in headers})}"

    def nothing_is_stored(self):
        """Sends what was refused once more, to a store at rest, and compares the counts of all rows."""
        refused = self.refused
        while True:
            before = self.store.rest()
            again = [(label, self.again(arguments), arguments) for label, _, arguments in refused]
            accepted = [label for label, status, _ in again if not 400 <= status < 500]
            if not accepted:
                break
            # It was refused for a state that has passed, such as too little money.
            print(f"{len(accepted)} were accepted this time: {dict(collections.Counter(accepted))}")
            refused = [(label, status, arguments) for label, status, arguments in again if 400 <= status < 500]
        after = self.store.rest()
        print(f"{len(refused)} refused requests sent once more: {sum(before.values())} rows before, {sum(after.values())} after")
        return {table: (before.get(table), rows) for table, rows in after.items() if before.get(table) != rows}

    def again(self, arguments):
        try:
            return requests.request(**arguments, timeout=30, allow_redirects=False).status_code
        except requests.RequestException:
            return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, metavar="FILE", help="the store file that `cargo tovar up` wrote")
    parser.add_argument("--cases", type=int, default=500, metavar="N", help="requests for each page (500)")
    parser.add_argument("--service", action="append", metavar="NAME", help="only the page of this service")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="of the generator; by default another at each run")
    arguments = parser.parse_args()
    store = Store(arguments.store)
    check = Check(store, Shop(store), arguments.seed)
    print(f"seed {arguments.seed}")
    for service in arguments.service or sorted(store.databases):
        started = time.monotonic()
        check.page(service, arguments.cases)
        print(f"{service}: {time.monotonic() - started:.0f} s")
    for operation, statuses in sorted(check.statuses.items()):
        print(f"{operation:<50} {'  '.join(f'{status}: {count}' for status, count in sorted(statuses.items()))}")
    for (operation, title), text in check.failures.items():
        print(f"\nFAILED {operation}: {title}\n{text}")
    silent = [name for name in check.statuses if not check.has_succeeded(name)]
    for name in silent:
        print(f"\nFAILED {name}: never answered with a success")
    stored = check.nothing_is_stored()
    for table, (before, after) in stored.items():
        print(f"\nFAILED refused requests changed {table}: {before} rows before, {after} after")
    sys.exit(1 if check.failures or silent or stored else 0)


main()
