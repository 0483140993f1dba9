"""Customers, a manager and a courier, who use a running store; and at the end the proof that it did what it answered.

    pip install -r load/requirements.txt
    locust                                       # with its web page, for a store of `cargo tovar up`
    locust --headless --users 20 --run-time 1m   # exits with 1 if journal and store differ
    cargo tovar load                             # does all of this, and writes a report

Every intent has one Idempotency-Key, and is sent again with it when the answer is lost. More in docs/load.md.
"""

import random

from locust import FastHttpUser, between, task

from load.person import Person
from load.run import run
from load.shop import DELIVERY, RUNS_SHORT, TOP_UP


class Customer(FastHttpUser):
    """Registers, brings money, looks around, orders, watches, and now and then changes their mind."""

    host = run.store.address
    wait_time = between(0.2, 1.0)

    def on_start(self):
        self.me = Person(self.client, run.journal, "A customer").register().log_in()
        self.orders = []
        # By then billing has heard of the newcomer.
        self.browse()
        self.bring_money()

    @task(6)
    def browse(self):
        self.me.get("/api/goods?limit=20", "/api/goods")
        self.me.get(f"/api/goods/{run.shop.some_goods()}", "/api/goods/{sku}")

    @task(5)
    def order(self):
        body = run.shop.order(self.me, run.shop.some_lines(), run.shop.some_zone())
        placed = body and self.me.intend("/api/orders", body=body)
        if placed and placed.is_accepted():
            self.orders.append(placed.answer.body["id"])
            random.choices([self.look, self.watch, self.cancel], [5, 3, 1])[0]()

    @task(4)
    def look(self):
        if self.orders:
            self.me.get(f"/api/orders/{random.choice(self.orders[-5:])}", "/api/orders/{id}")

    def watch(self):
        """Follows the latest order live. Some connections are cut, and the stream goes on where it was."""
        seen = self.me.follow(self.orders[-1], most=random.choice([2, 4, 20]))
        self.me.follow(self.orders[-1], after=seen)

    def cancel(self):
        path = f"/api/orders/{self.orders[-1]}/cancellation"
        self.me.intend("/api/orders/{id}/cancellation", path, refusals=("already_shipped", "already_closed"))

    @task(2)
    def look_at_the_account(self):
        account = self.me.get("/api/account")
        self.me.get("/api/account/entries")
        if account and account["available"] < TOP_UP[0]:
            self.bring_money()

    def bring_money(self):
        self.me.intend("/api/account/top-ups", body={"amount": random.randint(*TOP_UP)})

    @task(1)
    def take_money_out(self):
        amount = random.randint(1, TOP_UP[0])
        self.me.intend("/api/account/withdrawals", body={"amount": amount}, refusals=("insufficient_funds",))

    @task(1)
    def read_what_happened(self):
        self.me.get("/api/orders")
        self.me.get("/api/notifications")


class Manager(FastHttpUser):
    """Keeps the shelves and the slots filled, and looks for orders that need attention."""

    host = run.store.address
    fixed_count = 1
    wait_time = between(0.3, 0.6)

    def on_start(self):
        store = run.store
        self.me = Person(self.client, run.journal, "The manager", store.email, store.password).log_in()

    @task(6)
    def restock(self):
        sku = run.shop.some_goods()
        goods = self.me.get(f"/api/goods/{sku}", "/api/goods/{sku}")
        if goods and goods["available"] < RUNS_SHORT:
            run.shop.receive(self.me, sku, DELIVERY)

    @task(3)
    def open_slots(self):
        zone = run.shop.some_zone()
        if sum(slot["free"] for slot in run.shop.slots(self.me, zone)) < 30:
            run.shop.add_slot(self.me, zone)

    @task(1)
    def look_after_orders(self):
        self.me.get("/api/orders?needs_attention=true", "/api/orders")


class Courier(FastHttpUser):
    """Takes a run, hands its parcels over, and brings some of them back."""

    host = run.store.address
    fixed_count = 1
    wait_time = between(0.5, 1.5)

    def on_start(self):
        self.me = Person(self.client, run.journal, "A courier").register()
        run.shop.manager.must("PUT", f"/api/users/{self.me.id}/role", None, {"role": "courier"})
        self.me.log_in()

    @task
    def deliver(self):
        for parcel in run.shop.parcels(self.me):
            if not run.shop.take(self.me, parcel):
                continue
            outcome = random.choices(["delivered", "recipient_absent"], [85, 15])[0]
            path = f"/api/deliveries/{parcel['order_id']}/outcome"
            self.me.intend("/api/deliveries/{order_id}/outcome", path, {"outcome": outcome}, ("not_out_for_delivery",))
