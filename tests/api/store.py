"""The store as the check uses it: who calls, and what there is to call about."""

import json
import time
import uuid

import psycopg
import requests

PASSWORD = "a password of the check"


class Store:
    def __init__(self, path):
        with open(path) as file:
            about = json.load(file)
        self.base = about["base_url"]
        self.databases = about["databases"]
        self.manager = about["manager"]
        self.session = requests.Session()

    def send(self, method, path, token=None, body=None):
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.session.request(method, self.base + path, headers=headers, json=body, timeout=30)

    def must(self, method, path, token=None, body=None):
        end = time.monotonic() + 60
        # The wrong passwords of the check count against its network: it waits its turn.
        while (answer := self.send(method, path, token, body)).status_code == 429 and time.monotonic() < end:
            time.sleep(int(answer.headers["Retry-After"]))
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.text else None

    def begin(self, email, password=PASSWORD):
        return self.must("POST", "/api/sessions", None, {"email": email, "password": password})

    def log_in(self, email, password=PASSWORD):
        return self.begin(email, password)["access_token"]

    def new_user(self):
        """A new person: id, e-mail address, token."""
        email = f"{uuid.uuid4()}@example.org"
        person = self.must("POST", "/api/users", None, {"email": email, "password": PASSWORD, "name": "A person"})
        return person["id"], email, self.log_in(email)

    def wait(self, what, is_so, seconds=60):
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, f"waited {seconds} s for {what}"
            time.sleep(0.05)

    def counts(self):
        """Rows of each table of each service, but for those that count or record what was refused."""
        found = {}
        for service, url in sorted(self.databases.items()):
            with psycopg.connect(url) as connection:
                tables = connection.execute(
                    "SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables WHERE relname NOT IN ('login_failures', 'security_events') ORDER BY 1"
                ).fetchall()
                for (table,) in tables:
                    found[f"{service} {table}"] = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found

    def rest(self):
        """Waits until no count changes any more; the counts."""
        last, since = self.counts(), time.monotonic()
        end = since + 120
        while time.monotonic() - since < 3:
            assert time.monotonic() < end, "the store does not come to rest"
            time.sleep(0.3)
            now = self.counts()
            if now != last:
                last, since = now, time.monotonic()
        return last


class Shop:
    """People of each role, goods, zones, slots, and orders in the states that operations want."""

    def __init__(self, store):
        self.store = store
        manager = store.log_in(store.manager["email"], store.manager["password"])
        self.customer_id, customer_email, customer = store.new_user()
        self.courier_id, email, _ = store.new_user()
        store.must("PUT", f"/api/users/{self.courier_id}/role", manager, {"role": "courier"})
        # The role is in the token, so a new one is needed.
        self.tokens = {"nobody": None, "customer": customer, "courier": store.log_in(email), "manager": manager}
        credentials = {"customer": (customer_email, PASSWORD), "courier": (email, PASSWORD)}
        self.credentials = {**credentials, "manager": (store.manager["email"], store.manager["password"])}
        self.since = dict.fromkeys(self.credentials, time.monotonic())
        self.pawn_id, _, _ = store.new_user()
        # An account has few sessions, and those of the check must stay.
        _, self.door, _ = store.new_user()

        mark = uuid.uuid4().hex[:8]
        self.sku, self.zone = f"check-{mark}", f"lockers-{mark}"
        self.by_courier = f"couriers-{mark}"
        store.must("PUT", f"/api/goods/{self.sku}", manager, {"name": "Tea", "price": 100})
        store.must("POST", f"/api/goods/{self.sku}/receipts", manager, {"quantity": 100_000})
        self.slots = {}
        for zone, handover in [(self.zone, "locker"), (self.by_courier, "courier")]:
            store.must("PUT", f"/api/zones/{zone}", manager, {"handover": handover})
            times = {"starts_at": "2099-01-01T10:00:00Z", "ends_at": "2099-01-01T12:00:00Z"}
            slot = store.must("POST", f"/api/zones/{zone}/slots", manager, {**times, "capacity": 100_000})
            self.slots[zone] = slot["id"]
        store.wait("the account", lambda: store.send("GET", "/api/account", customer).ok)
        store.must("POST", "/api/account/top-ups", customer, {"amount": 10_000_000})
        order = self.order(self.zone)
        store.wait("orders to know the goods", lambda: store.send("POST", "/api/orders", customer, order).ok)
        self.delivered = self.place(self.zone)
        self.until(self.delivered, "delivered")
        self.out = [self.place(self.by_courier) for _ in range(40)]
        for parcel in self.out:
            self.until(parcel, "shipped")
        self.rejected = store.must("POST", "/api/orders", self.tokens["customer"], {**self.order(self.zone), "slot_id": str(uuid.uuid4())})["id"]
        self.until(self.rejected, "rejected")

    def order(self, zone):
        return {"lines": [{"sku": self.sku, "quantity": 1}], "zone": zone, "slot_id": self.slots[zone]}

    def place(self, zone):
        return self.store.must("POST", "/api/orders", self.token("POST", "/api/orders", "customer"), self.order(zone))["id"]

    def until(self, order, status):
        path = f"/api/orders/{order}"
        read = lambda: self.store.must("GET", path, self.token("GET", path, "customer"))["status"] == status
        self.store.wait(f"order {order} to be {status}", read)

    def parameters(self, path, role):
        """Path parameters that lead somewhere."""
        known = {"sku": self.sku, "zone": self.zone, "user_id": self.customer_id, "id": self.delivered, "order_id": self.delivered}
        if path.startswith("/api/users/"):
            known["id"] = self.pawn_id
        elif path.endswith(("/cancellation", "/stop")):
            known["id"] = self.place(self.zone)
        elif path.endswith("/verdict"):
            known["id"] = self.rejected
        elif path.endswith("/outcome") and self.out and role in ("courier", "manager"):
            known["order_id"] = self.out.pop()
            self.give(known["order_id"])
        elif path.endswith("/courier") and self.out:
            known["order_id"] = self.out[0]
        return known

    def give(self, parcel):
        """Has the courier deliver it."""
        courier = {"courier_id": self.courier_id}
        self.store.must("PUT", f"/api/deliveries/{parcel}/courier", self.tokens["manager"], courier)

    def token(self, method, path, role):
        """Who leaves the store, changes their password, or logs out, is not needed afterwards."""
        if role != "nobody" and (path == "/api/users/me" and method in ("DELETE", "PATCH") or path.startswith("/api/sessions") and method == "DELETE"):
            return self.store.new_user()[2]
        # A token lives ten minutes, and money goes out for five minutes after a log-in.
        if role != "nobody" and time.monotonic() - self.since[role] > 240:
            self.tokens[role] = self.store.log_in(*self.credentials[role])
            self.since[role] = time.monotonic()
        return self.tokens[role]

    def body(self, path, body):
        """The same body about things that exist."""
        if path == "/api/orders" and isinstance(body, dict):
            return {**body, **self.order(self.zone)}
        if path == "/api/sessions" and isinstance(body, dict):
            return {"email": self.door, "password": PASSWORD}
        if path == "/api/sessions/refresh" and isinstance(body, dict):
            return {"refresh_token": self.store.begin(self.door)["refresh_token"]}
        if path == "/api/users/me" and isinstance(body, dict) and "password" in body:
            return {**body, "current_password": PASSWORD}
        if path.endswith("/courier") and isinstance(body, dict):
            return {**body, "courier_id": self.courier_id}
        if path.endswith("/slots") and isinstance(body, dict):
            return {**body, "starts_at": "2099-01-01T10:00:00Z", "ends_at": "2099-01-01T12:00:00Z"}
        return body
