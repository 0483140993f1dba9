"""A person who uses the store: one Idempotency-Key per intent, the same when it is sent again."""

import json
import random
import socket
import ssl
import struct
import time
import uuid
from urllib.parse import urlsplit

import gevent
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from .journal import Intent

PASSWORD = "a password of the load"
# For so long an intent is sent again and again before it is left for the end of the run.
PATIENCE = 60
# Of a hundred intents, so many answers are thrown away, and so many connections cut.
LOST, CUT = 5, 3
BEGINNINGS = [0.0, 0.5, 1.0]
# What is answered to a token that must be refreshed, to one whose log-in is not fresh enough, and to a refresh that comes too late.
OLD_TOKEN = ("token_invalid", "token_outdated", "token_without_session")
OLD_LOGIN = ("fresh_login_required",)
REFUSED_REFRESH = ("refresh_token_invalid", "refresh_token_reused")


class Answer:
    def __init__(self, response):
        self.status = self.status_code = response.status_code or 0
        self.text = (response.text or "") if self.status else "the connection broke"
        headers = response.headers if self.status else {}
        self.is_replayed = headers.get("Idempotency-Replayed") == "true"
        self.retry_after = int(headers.get("Retry-After") or 0)
        try:
            self.body = json.loads(self.text)
        except ValueError:
            self.body = None
        self.code = self.body.get("code") if isinstance(self.body, dict) else None

    def __str__(self):
        return f"{self.status} {self.text[:120]}"

    def is_success(self):
        return 200 <= self.status < 300

    def asks_again(self):
        """Whether the same request, with the same key, may be answered otherwise a moment later."""
        return self.status in (0, 429) or self.status >= 500 or self.code == "idempotency_key_in_progress"


class Person:
    def __init__(self, client, journal, name="A person", email=None, password=PASSWORD):
        self.client, self.journal = client, journal
        self.name = name
        self.email = email or f"{uuid.uuid4()}@example.org"
        self.password = password
        self.id = None
        self.token = self.refresh_token = None
        journal.people.append(self)

    def aside(self):
        """From now on uses a session that no statistics see, and that breaks nothing."""
        self.client = quiet(self.client.base_url)
        return self

    def is_measured(self):
        return self.client.user is not None

    def send(self, method, path, name=None, body=None, key=None, refusals=(), **options):
        """One request as it is; once more, with another token, if that is what is missing."""
        token = self.token
        answer = self.send_once(method, path, name, body, key, refusals, **options)
        if token and self.renew(answer, token):
            answer = self.send_once(method, path, name, body, key, refusals, **options)
        return answer

    def send_once(self, method, path, name=None, body=None, key=None, refusals=(), **options):
        """What may well be answered is no failure in Locust's statistics."""
        headers = self.headers(key) | options.pop("headers", {})
        with self.client.request(
            method, path, name=name or path, json=body, headers=headers, catch_response=True, allow_redirects=False, **options
        ) as response:
            answer = Answer(response) if not options.get("stream") or response.status_code == 401 else None
            usual = (*refusals, *OLD_TOKEN, *OLD_LOGIN)
            if answer and (answer.code in usual or answer.asks_again() and 0 < answer.status < 500):
                response.success()
        return answer if answer else response

    def renew(self, answer, token):
        """Gets another token if the answer says that this one is too old, or its log-in. Another greenlet may have done it."""
        code = getattr(answer, "code", None)
        if code not in (*OLD_TOKEN, *OLD_LOGIN):
            return False
        if self.token != token:
            return True
        if code in OLD_TOKEN and self.refresh():
            return True
        self.log_in()
        return True

    def get(self, path, name=None):
        """What is there, or None while the store cannot say."""
        answer = self.send("GET", path, name)
        return answer.body if answer.is_success() else None

    def pages(self, path, name=None, cursor=None):
        """Page by page, each with the cursor that follows it."""
        sign = "&" if "?" in path else "?"
        while True:
            after = f"&cursor={cursor}" if cursor else ""
            page = self.must("GET", f"{path}{sign}limit=100{after}", name or path)
            yield page
            cursor = page["next"]
            if cursor is None:
                return

    def must(self, method, path, name=None, body=None):
        """The same until there is an answer; for what needs no key."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = self.send(method, path, name, body)
            if answer.is_success():
                return answer.body
            if not answer.asks_again() or time.monotonic() > end:
                raise RuntimeError(f"{method} {path} of {self.email}: {answer}")
            gevent.sleep(answer.retry_after or 0.2)

    def intend(self, name, path=None, body=None, refusals=()):
        """Does something once; the intent, with the store's answer unless it is still open."""
        return self.settle(self.journal.add(Intent(self, name, path or name, body, refusals)))

    def settle(self, intent, patience=PATIENCE):
        end = time.monotonic() + patience
        while intent.is_open() and time.monotonic() < end:
            mishap = self.mishap()
            if mishap == "connections cut":
                self.cut(intent)
                continue
            answer = self.send("POST", intent.path, intent.name, intent.body, intent.key, intent.refusals)
            if answer.asks_again():
                self.journal.mishaps[f"sent again after {answer.code or answer.status or 'a broken connection'}"] += 1
                gevent.sleep(min(answer.retry_after, 2) or 0.1)
            elif mishap == "answers thrown away" and intent.lost is None and answer.is_success():
                self.journal.mishaps[mishap] += 1
                intent.lost = answer
            else:
                self.journal.close(intent, answer)
        return intent

    def mishap(self):
        if not self.is_measured():
            return None
        dice = random.uniform(0, 100)
        return "answers thrown away" if dice < LOST else "connections cut" if dice < LOST + CUT else None

    def cut(self, intent):
        """Sends a part of the request, or all of it, and resets the connection before the answer."""
        self.journal.mishaps["connections cut"] += 1
        url = urlsplit(self.client.base_url)
        body = json.dumps(intent.body).encode() if intent.body is not None else b""
        headers = self.headers(intent.key) | {"Host": url.netloc, "Content-Type": "application/json", "Content-Length": len(body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST {intent.path} HTTP/1.1\r\n{head}\r\n".encode() + body
        part = random.choice(BEGINNINGS)
        try:
            port = url.port or (443 if url.scheme == "https" else 80)
            with socket.create_connection((url.hostname, port), timeout=5) as connection:
                if url.scheme == "https":
                    connection = ssl.create_default_context().wrap_socket(connection, server_hostname=url.hostname)
                connection.sendall(request[: int(len(request) * part)])
                # Long enough for the store to be in the midst of it.
                gevent.sleep(random.uniform(0, 0.03))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
        except OSError:
            gevent.sleep(0.1)

    def follow(self, order, after=0, most=20):
        """Reads so many steps of an order's stream as they come, and leaves it; the number of the last one."""
        headers = {"Last-Event-ID": str(after)} if after else {}
        response = self.send("GET", f"/api/orders/{order}/events", "/api/orders/{id}/events", stream=True, headers=headers)
        if response.status_code != 200:
            return after
        with gevent.Timeout(3, False):
            while most and (line := response.stream.readline(b"\n")):
                if line.startswith(b"id:"):
                    number = int(line[3:])
                    if number != after + 1:
                        self.journal.differs(f"order {order}: its stream told step {number} after step {after}")
                    after, most = number, most - 1
        # Its connection is of no use for another request.
        response.stream.release()
        return after

    def headers(self, key=None):
        headers = {"Idempotency-Key": key} if key else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def register(self):
        body = {"email": self.email, "password": self.password, "name": self.name}
        intent = self.intend("/api/users", body=body)
        self.id = intent.answer.body["id"] if intent.is_accepted() else None
        return self

    def log_in(self):
        credentials = {"email": self.email, "password": self.password}
        self.take(self.must("POST", "/api/sessions", None, credentials))
        return self

    def refresh(self):
        """Whether the session goes on."""
        body = {"refresh_token": self.refresh_token}
        answer = self.send_once("POST", "/api/sessions/refresh", None, body, None, REFUSED_REFRESH)
        if answer.is_success():
            self.take(answer.body)
        return answer.is_success()

    def take(self, session):
        self.token, self.refresh_token = session["access_token"], session["refresh_token"]


def quiet(address):
    """A session whose requests no statistics see."""
    return FastHttpSession(address, EventHook(), None, connection_timeout=10, network_timeout=30)
