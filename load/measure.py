"""What was sent and how long it took, second by second, and what the gateway counted meanwhile."""

import re
import time
from collections import Counter

import requests

ERRORS = ("5xx", "unreachable")
SAMPLE = re.compile(r'^(tovar_gateway_requests_total|tovar_gateway_request_duration_seconds_bucket)\{(.*)\} (\S+)$')


def percentile(values, percent):
    """The value that `percent` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)] if ranked else None


class Measure:
    """Of the requests in Locust's statistics."""

    def __init__(self):
        self.times = []
        self.classes = Counter()
        self.second = []
        self.failures = 0
        self.failed_in_second = 0

    def request(self, response=None, response_time=0, exception=None, **_):
        status = getattr(response, "status_code", 0) or 0
        self.times.append(response_time)
        self.second.append(response_time)
        # The connection broke: its outcome is not known.
        self.classes[f"{status // 100}xx" if status else "broken"] += 1
        if exception:
            self.failures += 1
            self.failed_in_second += 1

    def tick(self):
        """The second that has passed, and a new one."""
        second, failed = self.second, self.failed_in_second
        self.second, self.failed_in_second = [], 0
        return {
            "requests": len(second),
            "failures": failed,
            "p50": percentile(second, 50),
            "p95": percentile(second, 95),
            "p99": percentile(second, 99),
        }

    def total(self):
        """Times in seconds, as the gateway has them."""
        return {
            "requests": len(self.times),
            "errors": self.classes["5xx"],
            "by_class": dict(self.classes),
            "failures": self.failures,
            "p50": (percentile(self.times, 50) or 0) / 1000,
            "p99": (percentile(self.times, 99) or 0) / 1000,
        }


class Gateway:
    """The counters of the store's gateway, as its second port shows them."""

    def __init__(self, ops):
        self.ops = ops

    def read(self):
        """Requests by class of status, and how many took no longer than each edge; None where the port is out of reach."""
        if not self.ops:
            return None
        try:
            text = requests.get(f"{self.ops}/metrics", timeout=5).text
        except requests.RequestException:
            return None
        counted = Counter()
        for line in text.splitlines():
            if found := SAMPLE.match(line):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2]))
                counted[labels.get("status") or float(labels["le"])] += float(found[3])
        return counted

    @staticmethod
    def between(before, after):
        """What was counted between two readings. The p99 lies within the bucket that is named by its edges."""
        if before is None or after is None:
            return None
        delta = {name: int(after[name] - before[name]) for name in after}
        by_class = {name: count for name, count in delta.items() if isinstance(name, str) and count}
        edges = sorted(edge for edge in delta if isinstance(edge, float))
        requests_ = sum(by_class.values())
        bucket = next((number for number, edge in enumerate(edges) if delta[edge] >= 0.99 * requests_), 0)
        return {
            "requests": requests_,
            "errors": sum(by_class.get(name, 0) for name in ERRORS),
            "by_class": by_class,
            "p99_above": edges[bucket - 1] if bucket else 0,
            # Of the last bucket, which has no edge, JSON knows nothing.
            "p99_up_to": edges[bucket] if edges and edges[bucket] != float("inf") else None,
        }


def now():
    """Seconds since 1970."""
    return time.time()
