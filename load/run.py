"""Begins and ends a run, and says what came of it."""

import json
import logging
import os
import sys

import gevent
from locust import events
from locust.runners import LocalRunner

from .journal import Journal
from .measure import Gateway, Measure, now
from .reconcile import Reconciliation
from .shop import Shop
from .store import HOW, Store

AGREES, DIFFERS, UNCHECKED = 0, 1, 2
# Long enough for who is in the midst of an intent.
STOP_TIMEOUT = 30
log = logging.getLogger("tovar")


class Run:
    """The run that is on, or the last one."""

    def __init__(self):
        self.store = Store.find()
        self.gateway = Gateway(self.store.gateway_ops)
        # Where a program reads what happens, a JSON object a line; and how long nothing is sent before and after the load, so
        # that who scrapes the store sees both ends of it.
        self.record = os.environ.get("TOVAR_LOAD_RECORD")
        self.pause = float(os.environ.get("TOVAR_LOAD_PAUSE", 0))
        self.is_prepared = self.is_on = False
        self.result = None

    def prepare(self, address):
        self.journal, self.measure, self.result = Journal(), Measure(), None
        log.info("a shop for the run is opened")
        self.shop = Shop(self.store, address, self.journal).open()
        self.note("prepared")
        gevent.sleep(self.pause)
        self.before = self.gateway.read()
        self.is_prepared = True

    def begin(self, environment):
        self.is_on, self.is_prepared = True, False
        self.note("begun")
        self.runner = environment.runner
        self.clock = gevent.spawn(self.tick)

    def tick(self):
        while True:
            gevent.sleep(1)
            self.second()

    def second(self):
        accepted = self.journal.counts["/api/orders"]
        self.note("second", users=self.runner.user_count, accepted=accepted, **self.measure.tick())

    def end(self):
        """The load has ended: what was sent, what the gateway counted, and whether the store did what it answered."""
        self.is_on = False
        self.clock.kill()
        self.second()
        self.note("ended")
        gateway = Gateway.between(self.before, self.gateway.read())
        gevent.sleep(self.pause)
        self.note("counted", locust=self.measure.total(), gateway=gateway)
        log.info("the journal is compared with the store")
        self.result = Reconciliation(self.journal, self.shop).run()
        self.note("reconciled", result=self.result)
        self.show(gateway)

    def show(self, gateway):
        result, counted = self.result, self.measure.total()
        lines = [f"{counted['requests']} requests, {counted['errors']} answered with 5xx, p99 {counted['p99'] * 1000:.0f} ms"]
        if gateway:
            lines.append(f"the gateway counted {gateway['requests']} requests, {gateway['errors']} of them with 5xx or unreachable")
        lines += [f"{count} {what}" for what, count in (result["checked"] | result["mishaps"]).items()]
        lines += [f"{count} orders {status}" for status, count in result["orders"].items()]
        lines += [f"DIFFERENCE {difference}" for difference in result["differences"]]
        lines.append(f"{len(result['differences'])} differences" if result["differences"] else "journal and store agree")
        self.text = "\n".join(lines)
        print(self.text, flush=True)

    def code(self):
        if self.result is None:
            return UNCHECKED
        return DIFFERS if self.result["differences"] else AGREES

    def note(self, what, **about):
        if self.record:
            with open(self.record, "a") as file:
                file.write(json.dumps({"what": what, "at": now(), **about}) + "\n")


run = Run()


@events.init.add_listener
def is_set_up(environment, **_):
    if not isinstance(environment.runner, LocalRunner):
        sys.exit("the journal is of one process: run locust without --master, --worker and --processes")
    environment.stop_timeout = environment.stop_timeout or STOP_TIMEOUT
    environment.process_exit_code = UNCHECKED
    environment.host = environment.host or run.store.address
    if not environment.host or not run.store.email or not run.store.password:
        sys.exit(HOW)
    if environment.web_ui:
        add_page(environment.web_ui.app)
    else:
        # Before the clock of --run-time starts.
        try:
            run.prepare(environment.host)
        except Exception as error:
            sys.exit(f"the store cannot be loaded: {error}")


@events.test_start.add_listener
def starts(environment, **_):
    if not run.is_prepared:
        try:
            run.prepare(environment.host)
        except Exception as error:
            log.error("nothing is loaded: %s", error)
            gevent.spawn(environment.runner.stop)
            return
    run.begin(environment)


@events.request.add_listener
def is_answered(**request):
    run.measure.request(**request)


@events.test_stop.add_listener
def stops(environment, **_):
    if run.is_on:
        run.end()
    environment.process_exit_code = run.code()


@events.quitting.add_listener
def quits(environment, **_):
    # With Ctrl-C the users are still at it.
    if run.is_on:
        environment.runner.stop()


def add_page(app):
    @app.route("/reconciliation")
    def reconciliation():
        """What came of the last run, beside Locust's own pages."""
        text = run.text if run.result else "the journal is compared with the store when the load is stopped"
        return app.response_class(text + "\n", mimetype="text/plain")
