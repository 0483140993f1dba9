"""What the journeys of `locustfile.py` stand on.

store      where the store is, and who its manager is
person     a person who uses the store: one Idempotency-Key per intent, lost answers, cut connections
journal    what was meant, and what the store answered
shop       goods, zones and slots of the run's own
measure    what was sent and how long it took, second by second, and what the gateway counted meanwhile
reconcile  compares the journal with the store
run        begins and ends a run, and says what came of it
"""
