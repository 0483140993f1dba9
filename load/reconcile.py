"""Compares the journal with the store, over the same API that everybody uses.

- Every intent is closed: one whose answer never came is sent again with its key.
- Each accepted order exists exactly once, and nothing else does; it is over, or waits for its courier.
- It ended as its courier reported, and was cancelled by its customer only if the customer asked.
- A customer's balance is what they brought, less what they took out and what their orders cost that they keep; nothing is held.
- A shelf has what was received, less what was sold, plus what came back; its movements say the same.
- A slot has its places, less those of the orders that were delivered or are on their way.
"""

import time
from collections import Counter, defaultdict

import gevent
from gevent.pool import Pool

TERMINAL = {"delivered", "rejected", "cancelled", "refunded"}
# Goods, money and the place in the slot stay with such an order.
KEPT = {"delivered", "shipped"}
# How long orders under way may take to end. An order that no person stops is stopped after two minutes at each step.
WITHIN = 180
SOON = 30


class Reconciliation:
    def __init__(self, journal, shop):
        self.journal, self.shop = journal, shop
        # Accepted intents by person and name, and the orders among them by id.
        self.accepted = defaultdict(list)
        self.placed = {}
        # By id, as the store lists them at the end.
        self.orders = {}
        self.checked = Counter()

    def run(self):
        """What came of it. Differences are sentences; without one the store did what it answered."""
        journal = self.journal
        people = [person.aside() for person in journal.people]
        pool = Pool(10)
        opened = [intent for intent in journal.intents if intent.is_open()]
        list(pool.imap_unordered(self.settle, opened))
        for intent in journal.intents:
            if intent.is_accepted():
                self.accepted[intent.person, intent.name].append(intent)
        self.placed = {intent.answer.body["id"]: intent for intent in journal.accepted("/api/orders")}
        customers = [person for person in people if self.accepted[person, "/api/users"]]
        list(pool.imap_unordered(self.customer, customers))
        self.couriers()
        list(pool.imap_unordered(self.shelf, self.shop.goods))
        list(pool.imap_unordered(self.zone, self.shop.zones))
        return {
            "differences": journal.differences,
            "checked": {"customers": len(customers), "orders": len(self.placed), "intents": len(journal.intents)} | self.checked,
            "orders": dict(Counter(order["status"] for order in self.orders.values())),
            "reasons": dict(Counter(order["outcome_reason"] for order in self.orders.values() if order["outcome_reason"])),
            "mishaps": dict(journal.mishaps),
        }

    def settle(self, intent):
        """Was under way when the load ended: sent again with its key, it has one answer."""
        self.checked["intents that were open"] += 1
        person = intent.person
        if intent.path != "/api/users" and not person.token:
            person.log_in()
        if person.settle(intent).is_open():
            self.journal.differs(f"{intent}: has no answer")

    def customer(self, person):
        if not person.token:
            person.log_in()
        mine = {intent.answer.body["id"]: intent for intent in self.accepted[person, "/api/orders"]}
        listed = self.settled(person, mine)
        ids = Counter(order["id"] for order in listed)
        for order in mine.keys() - ids.keys():
            self.journal.differs(f"order {order} of {person.email}: was accepted, and the store has no such order")
        for order in ids.keys() - mine.keys():
            self.journal.differs(f"order {order} of {person.email}: exists, and no answer told of it")
        for order, times in ids.items():
            if times > 1:
                self.journal.differs(f"order {order} of {person.email}: is listed {times} times")
        for order in listed:
            if order["id"] in mine and order["total"] != mine[order["id"]].answer.body["total"]:
                self.journal.differs(f"order {order['id']}: costs {order['total']}, and was accepted for another sum")
        self.orders |= {order["id"]: order for order in listed}
        self.balance(person, listed)

    def settled(self, person, mine):
        """The customer's orders, as soon as none is under way."""
        end = time.monotonic() + WITHIN
        while True:
            listed = [order for page in person.pages("/api/orders") for order in page["items"]]
            moving = [order for order in listed if not self.is_at_rest(order, mine)]
            if not moving or time.monotonic() > end:
                break
            gevent.sleep(0.5)
        for order in moving:
            self.journal.differs(f"order {order['id']} of {person.email}: is still {order['status']} after {WITHIN} s")
        return listed

    def is_at_rest(self, order, mine):
        waits = order["status"] == "shipped" and order["id"] in mine and mine[order["id"]].body["zone"] == self.shop.couriers
        return waits or order["status"] in TERMINAL

    def balance(self, person, listed):
        brought = self.sum(person, "/api/account/top-ups", "amount")
        taken = self.sum(person, "/api/account/withdrawals", "amount")
        paid = sum(order["total"] for order in listed if order["status"] in KEPT)
        wanted = {"available": brought - taken - paid, "held": 0}
        account = lambda: {name: person.must("GET", "/api/account")[name] for name in wanted}
        self.equal(
            f"the account of {person.email} (user {person.id})",
            account,
            wanted,
            f"brought {brought}, took out {taken}, paid {paid}",
        )

    def sum(self, person, name, what):
        return sum(intent.body[what] for intent in self.accepted[person, name])

    def couriers(self):
        for intent in self.journal.accepted("/api/deliveries/{order_id}/outcome"):
            order = intent.path.split("/")[3]
            wanted = "delivered" if intent.body["outcome"] == "delivered" else "refunded"
            status = self.orders.get(order, {}).get("status")
            self.checked["reports of couriers"] += 1
            if status != wanted:
                self.journal.differs(f"order {order}: its courier reported {intent.body['outcome']}, and it is {status}")
        asked = {intent.path.split("/")[3] for intent in self.journal.accepted("/api/orders/{id}/cancellation")}
        for order in self.orders.values():
            if order["outcome_reason"] == "customer" and order["id"] not in asked:
                self.journal.differs(f"order {order['id']}: was cancelled for its customer, who did not ask")

    def shelf(self, sku):
        """What the journal says of one kind of goods, and what the store says."""
        name = "/api/goods/{sku}/receipts"
        path = f"/api/goods/{sku}/receipts"
        received = sum(intent.body["quantity"] for intent in self.journal.accepted(name) if intent.path == path)
        sold = self.pieces(sku, KEPT | {"refunded"})
        returned = self.pieces(sku, {"refunded"})
        wanted = {"available": received - sold + returned, "receipt": received, "shipment": -sold, "return": returned}

        def found():
            moved = Counter()
            for page in self.shop.manager.pages(f"/api/goods/{sku}/movements"):
                for movement in page["items"]:
                    moved[movement["kind"]] += movement["quantity"]
            available = self.shop.manager.must("GET", f"/api/goods/{sku}")["available"]
            return {"available": available} | {kind: moved[kind] for kind in ("receipt", "shipment", "return")}

        self.checked["shelves"] += 1
        self.equal(f"the shelf of {sku}", found, wanted, f"received {received}, sold {sold}, returned {returned}")

    def pieces(self, sku, statuses):
        return sum(line["quantity"] for order in self.kept(statuses) for line in order["lines"] if line["sku"] == sku)

    def kept(self, statuses):
        """The accepted orders that ended so, as they were accepted."""
        ended = (order for order, found in self.orders.items() if found["status"] in statuses)
        return [self.placed[order].answer.body for order in ended if order in self.placed]

    def zone(self, zone):
        booked = Counter(order["slot_id"] for order in self.kept(KEPT))
        opened = [intent.answer.body for intent in self.journal.accepted("/api/zones/{zone}/slots") if intent.answer.body["zone"] == zone]
        wanted = {slot["id"]: slot["capacity"] - booked[slot["id"]] for slot in opened}
        found = lambda: {slot["id"]: slot["free"] for page in self.shop.manager.pages(f"/api/zones/{zone}/slots") for slot in page["items"]}
        self.checked["slots"] += len(opened)
        self.equal(f"the free places of {zone}", found, wanted, "its slots, less the orders that were delivered")

    def equal(self, what, find, wanted, why):
        """Everyone undoes for themselves, a moment before or after an order is over: so it is waited for."""
        end = time.monotonic() + SOON
        while (found := find()) != wanted and time.monotonic() < end:
            gevent.sleep(0.3)
        apart = {name: (found.get(name), wanted.get(name)) for name in found | wanted if found.get(name) != wanted.get(name)}
        for name, (is_so, should) in apart.items():
            self.journal.differs(f"{what}: {name} is {is_so} in the store and {should} by the journal ({why})")
