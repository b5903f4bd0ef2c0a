import sys

from keeptrusts.webhooks import Client

with Client() as client, client.publisher("default") as publisher:
    futures = [publisher.publish("policy.violation", line) for line in sys.stdin]  # a JSON object each
    publisher.flush()
    print("published", sum(future.exception() is None for future in futures))
