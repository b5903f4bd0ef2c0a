"""Holds the cards of messages against the published schema of Adaptive Cards 1.4."""

import importlib.resources
import json
import sys

import jsonschema

schema_file = importlib.resources.files("adaptive_cards") / "schemas" / "schema-1.4.json"
schema = json.loads(schema_file.read_text(encoding="utf-8"))
validator = jsonschema.Draft6Validator(schema)

with open(sys.argv[1], encoding="utf-8") as file:
    messages = json.load(file)
assert messages, "there is something to check"
for message in messages:
    for attachment in message["attachments"]:
        card = attachment["content"]
        validator.validate(card)
        # The schema can say no.
        broken = card | {"body": [{"type": "TextBlock", "text": 1}]}
        assert not validator.is_valid(broken), "a text that is a number is refused"
