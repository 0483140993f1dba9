"""What was meant, and what the store answered."""

import uuid
from collections import Counter
from dataclasses import dataclass, field


@dataclass(eq=False)
class Intent:
    """Something that shall happen once, however often it is sent."""

    person: object
    name: str
    path: str
    body: dict | None
    # Codes of refusals that may come: they change nothing, and end the intent.
    refusals: tuple = ()
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    # A success that was thrown away: what is sent again must be answered alike.
    lost: object = None
    answer: object = None

    def is_open(self):
        return self.answer is None

    def is_accepted(self):
        return self.answer is not None and self.answer.is_success()

    def __str__(self):
        return f"POST {self.path} of {self.person.email} with the key {self.key}"


class Journal:
    def __init__(self):
        self.people = []
        self.intents = []
        # What contradicts: by what was found, as a sentence.
        self.differences = []
        # Answers thrown away, connections cut, requests sent again and why.
        self.mishaps = Counter()
        # Accepted intents by name, as they come.
        self.counts = Counter()

    def differs(self, sentence):
        self.differences.append(sentence)

    def add(self, intent):
        self.intents.append(intent)
        return intent

    def accepted(self, name):
        return [intent for intent in self.intents if intent.name == name and intent.is_accepted()]

    def close(self, intent, answer):
        """The store's last word. What it answers again must be what it answered first."""
        intent.answer = answer
        self.counts[intent.name] += answer.is_success()
        lost = intent.lost
        if lost is not None and (answer.status, answer.body) != (lost.status, lost.body):
            self.differs(f"{intent}: answered {lost}, and {answer} when sent again")
        elif lost is not None and not answer.is_replayed:
            self.differs(f"{intent}: took effect, and was sent again without being called a replay")
        if not answer.is_success() and answer.code not in intent.refusals:
            self.differs(f"{intent}: an unexpected answer: {answer}")
