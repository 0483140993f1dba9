"""Goods, zones and slots of the run's own, so that other orders do not disturb the comparison."""

import random
import uuid
from datetime import datetime, timedelta, timezone

import gevent

from .person import Person, quiet

GOODS = 30
# Pieces of each kind at the beginning, and in a delivery when it runs short: the favourites sell out now and then.
FIRST_DELIVERY, RUNS_SHORT, DELIVERY = 60, 20, 100
PLACES = 40
TOP_UP = (5_000, 40_000)
# The place in the list is the rank.
ZIPF = [1 / rank for rank in range(1, GOODS + 1)]


class Shop:
    def __init__(self, store, address, journal):
        self.address, self.journal = address, journal
        self.mark = uuid.uuid4().hex[:8]
        self.manager = Person(quiet(address), journal, "The manager", store.email, store.password)
        self.goods = [f"load-{self.mark}-{rank:02}" for rank in range(1, GOODS + 1)]
        self.lockers, self.couriers = f"load-{self.mark}-lockers", f"load-{self.mark}-couriers"
        self.zones = [self.lockers, self.couriers]
        # Behind it are the parcels of this run; those that a store had before are not.
        self.first_delivery = None

    def open(self):
        manager = self.manager.log_in()
        for number, sku in enumerate(self.goods):
            price = {"name": f"Goods {number + 1}", "price": random.randint(100, 3_000)}
            manager.must("PUT", f"/api/goods/{sku}", None, price)
            self.receive(manager, sku, FIRST_DELIVERY)
        for zone, handover in [(self.lockers, "locker"), (self.couriers, "courier")]:
            manager.must("PUT", f"/api/zones/{zone}", None, {"handover": handover})
            for _ in range(3):
                self.add_slot(manager, zone)
        for page in manager.pages("/api/deliveries"):
            self.first_delivery = page["next"] or self.first_delivery
        # Orders hears of the goods by events. Who has no money gets nothing, but may ask.
        poor = Person(quiet(self.address), self.journal, "A person without money").register().log_in()
        body = self.order(poor, [{"sku": sku, "quantity": 1} for sku in self.goods], self.lockers)
        while not poor.intend("/api/orders", body=body, refusals=("unknown_sku",)).is_accepted():
            gevent.sleep(0.2)
        return self

    def receive(self, manager, sku, quantity):
        return manager.intend("/api/goods/{sku}/receipts", f"/api/goods/{sku}/receipts", {"quantity": quantity})

    def add_slot(self, manager, zone):
        begins = datetime.now(timezone.utc) + timedelta(days=1, hours=random.randint(0, 48))
        times = {"starts_at": begins.isoformat(), "ends_at": (begins + timedelta(hours=2)).isoformat()}
        return manager.intend("/api/zones/{zone}/slots", f"/api/zones/{zone}/slots", {**times, "capacity": PLACES})

    def slots(self, person, zone):
        slots = person.get(f"/api/zones/{zone}/slots?limit=100", "/api/zones/{zone}/slots")
        return slots["items"] if slots else []

    def order(self, person, lines, zone):
        """An order to a slot with free places, or to a full one, if that is all there is."""
        slots = self.slots(person, zone)
        free = [slot for slot in slots if slot["free"] > 0] or slots
        return {"lines": lines, "zone": zone, "slot_id": random.choice(free)["id"]} if free else None

    def some_goods(self):
        """By Zipf: the first is asked for twice as often as the second, three times as often as the third."""
        return random.choices(self.goods, ZIPF)[0]

    def some_lines(self):
        wished = {self.some_goods() for _ in range(random.choice([1, 1, 2, 3]))}
        return [{"sku": sku, "quantity": random.randint(1, 3)} for sku in sorted(wished)]

    def some_zone(self):
        return random.choices(self.zones, [3, 1])[0]

    def take(self, courier, parcel):
        """Whether the parcel is the courier's from now on; to take it twice is to take it."""
        path = f"/api/deliveries/{parcel['order_id']}/courier"
        body, refusals = {"courier_id": courier.id}, ("not_out_for_delivery", "parcel_taken")
        answer = courier.send("PUT", path, "/api/deliveries/{order_id}/courier", body, refusals=refusals)
        return answer.is_success()

    def parcels(self, courier):
        """Those of this run that are out for delivery, and the courier's or free."""
        for page in courier.pages("/api/deliveries", cursor=self.first_delivery):
            yield from (parcel for parcel in page["items"] if parcel["zone"] == self.couriers)
