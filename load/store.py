"""Where the store is, and who its manager is."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

HOW = """no store to load: start one with `cargo tovar up` here, or name its file with TOVAR_STORE=FILE;
for one that is deployed `cargo tovar connect --write`, or give --host ADDRESS, TOVAR_MANAGER_EMAIL and TOVAR_MANAGER_PASSWORD"""


@dataclass
class Store:
    address: str | None = None
    email: str | None = None
    password: str | None = None
    # The gateway's second port, if it can be reached: its counters are then compared with what was sent.
    gateway_ops: str | None = None

    @classmethod
    def find(cls):
        store = cls()
        path = Path(os.environ.get("TOVAR_STORE", ".tovar/store.json"))
        if path.exists():
            about = json.loads(path.read_text())
            # None where the store is only read.
            manager = about["manager"] or {}
            store = cls(about["base_url"], manager.get("email"), manager.get("password"), about["ops"].get("gateway"))
        store.email = os.environ.get("TOVAR_MANAGER_EMAIL", store.email)
        store.password = os.environ.get("TOVAR_MANAGER_PASSWORD", store.password)
        store.gateway_ops = os.environ.get("TOVAR_GATEWAY_OPS", store.gateway_ops)
        return store
