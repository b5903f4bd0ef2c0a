# Verifies checks read as JSON lines with the standardwebhooks package.
import base64
import json
import sys

from standardwebhooks import Webhook


def verdict(check):
    try:
        body = base64.b64decode(check["body"])
        Webhook(check["key"]).verify(body, check["headers"])
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"


for line in sys.stdin:
    print(json.dumps(verdict(json.loads(line))))
