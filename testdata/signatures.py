#!/usr/bin/env python3
"""Writes signatures.json, the test vectors of signatures, with nothing but Python's own hmac.

    python3 testdata/signatures.py > testdata/signatures.json

Add a case here, not there: a test holds the file to this script.
"""

import base64
import hashlib
import hmac
import json

ABOUT = [
    "Test vectors for the signatures of deliveries. docs/receiving.md explains the signatures.",
    "",
    "`signatures`: what we send. From secret, previous_secret (null: no rotation), webhook_id, timestamp "
    "(seconds since the Unix epoch) and body follow `headers`. standard_webhooks_secret is the secret as "
    "libraries of Standard Webhooks take it.",
    "",
    "`verifications`: what a receiver gets, and what comes of it. A request is valid if one of `secrets` "
    "(as shown to users) made one of its signatures. `standard` is the result for webhook-id, "
    "webhook-timestamp and webhook-signature at the time `now` with `tolerance_seconds`; `keeptrusts` is "
    "the result for X-Keeptrusts-Signature and X-Keeptrusts-Signature-Previous, which have no time.",
    "",
    "Results, in the order in which they are found:",
    "missing_header: a header is absent or empty. (Of the two of `keeptrusts`, one suffices.)",
    "malformed_header: webhook-id has a character that is not visible ASCII, or a dot, which would make it "
    "ambiguous what was signed; webhook-timestamp is not 1 to 12 digits; webhook-signature, whose entries "
    "are separated by spaces, has no entry that is `v1,` and the base64 of 32 bytes with padding (other "
    "entries are skipped); neither header of `keeptrusts` is `sha256=` and 64 hex digits in either case.",
    "bad_signature: no secret made any of the signatures.",
    "timestamp_too_old, timestamp_too_new: signed, but more than the tolerance from `now`.",
    "",
    "Names of headers are in any case. A body is text in UTF-8 (`body`) or bytes (`body_base64`).",
    "The file is made by signatures.py.",
]

GENERATED = "whsec_" + base64.b64encode(bytes([0xA5] * 32)).decode()
SHORTEST = "whsec_" + base64.b64encode(bytes(range(24))).decode()
LONGEST = "whsec_" + base64.b64encode(bytes(range(192, 256))).decode()
PREVIOUS = "whsec_" + base64.b64encode(bytes([0x5A] * 32)).decode()
OWN = "correct horse battery staple"
OWN_PREVIOUS = "Grüße – 正確な馬の電池"
UPPER_CASE_PREFIX = "WHSEC_is nobody's prefix"
SIXTEEN = "0123456789abcdef"

ID = "evt_01JSF0M3Z8Q2W4E6R8T0Y1V3B5"
TIME = 1_776_940_200  # 2026-04-23T10:30:00Z
BODY = '{"event":"policy.violation","timestamp":"2026-04-23T10:30:00Z","data":{"policy":"no-customer-data"}}'.encode()
UNICODE = '{"data":{"text":"Grüße 🌍 \u2028 ‮"}}'.encode()
BYTES = bytes(range(256))


def standard_key(secret):
    """The key of webhook-signature."""
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def standard_form(secret):
    if secret.startswith("whsec_"):
        return secret
    return "whsec_" + base64.b64encode(secret.encode()).decode()


def keeptrusts(secret, body):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard(secret, webhook_id, timestamp, body):
    message = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(standard_key(secret), message, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def sent(secret, previous=None, webhook_id=ID, timestamp=TIME, body=BODY):
    """The headers of signatures, as we send them."""
    headers = {"X-Keeptrusts-Signature": keeptrusts(secret, body)}
    signature = standard(secret, webhook_id, timestamp, body)
    if previous is not None:
        headers["X-Keeptrusts-Signature-Previous"] = keeptrusts(previous, body)
        signature += " " + standard(previous, webhook_id, timestamp, body)
    headers["webhook-id"] = webhook_id
    headers["webhook-timestamp"] = str(timestamp)
    headers["webhook-signature"] = signature
    return headers


def with_body(case, body):
    try:
        case["body"] = body.decode()
    except UnicodeDecodeError:
        case["body_base64"] = base64.b64encode(body).decode()
    return case


def signature(name, secret, previous=None, webhook_id=ID, timestamp=TIME, body=BODY):
    case = {
        "name": name,
        "secret": secret,
        "standard_webhooks_secret": standard_form(secret),
        "previous_secret": previous,
        "webhook_id": webhook_id,
        "timestamp": timestamp,
    }
    with_body(case, body)
    case["headers"] = sent(secret, previous, webhook_id, timestamp, body)
    return case


SIGNATURES = [
    signature("a generated secret", GENERATED),
    signature("a secret of the customer's own", OWN),
    signature("a secret that is not ASCII", OWN_PREVIOUS),
    signature("the shortest secret of one's own", SIXTEEN),
    signature("the shortest key after whsec_", SHORTEST),
    signature("the longest key after whsec_, with + and / in its base64", LONGEST),
    signature("an own secret that only looks like whsec_", UPPER_CASE_PREFIX),
    signature("a rotation", GENERATED, previous=PREVIOUS),
    signature("a rotation from an own secret to a generated one", GENERATED, previous=OWN),
    signature("a rotation between own secrets", OWN, previous=OWN_PREVIOUS),
    signature("a body that is not ASCII", GENERATED, body=UNICODE),
    signature("an empty body", OWN, body=b""),
    signature("a body that ends with a line break", GENERATED, body=BODY + b"\n"),
    signature("a body with a carriage return", OWN, body=b'{"a":1}\r\n'),
    signature("a body that is not UTF-8", GENERATED, body=BYTES),
    signature("a large body", OWN, body=b'{"data":"' + b"x" * 4096 + b'"}'),
    signature("a time soon after the epoch", GENERATED, timestamp=7),
]


VERIFICATIONS = []


def verification(name, results, headers, secrets=(GENERATED,), body=BODY, now=TIME + 2, tolerance=300):
    """`results`: that of both schemes, or (standard, keeptrusts)."""
    results = (results, results) if isinstance(results, str) else results
    case = {"name": name, "secrets": list(secrets), "headers": headers}
    with_body(case, body)
    case |= {"now": now, "tolerance_seconds": tolerance, "standard": results[0], "keeptrusts": results[1]}
    VERIFICATIONS.append(case)


def changed(changes, secret=GENERATED, previous=None, **others):
    """Headers as we send them, with some replaced, or without them (None)."""
    headers = sent(secret, previous, **others) | changes
    return {name: value for name, value in headers.items() if value is not None}


def verifications():
    valid, bad = "valid", "bad_signature"
    missing, malformed = "missing_header", "malformed_header"
    good = sent(GENERATED)
    hexadecimal = good["X-Keeptrusts-Signature"]
    entry = good["webhook-signature"]

    # What we send is valid.
    for case in SIGNATURES:
        body = case["body"].encode() if "body" in case else base64.b64decode(case["body_base64"])
        verification(case["name"], valid, case["headers"], [case["secret"]], body, case["timestamp"] + 2)

    # Several secrets, on either side.
    rotation = sent(GENERATED, previous=PREVIOUS)
    verification("a rotation, and the receiver has the old secret", valid, rotation, [PREVIOUS])
    verification("a rotation, and the receiver has both secrets", valid, rotation, [PREVIOUS, GENERATED])
    verification("a rotation, and the receiver has neither secret", bad, rotation, [OWN])
    verification("the receiver has the old secret first", valid, good, [PREVIOUS, GENERATED])
    verification("the receiver has only a secret of the future", bad, good, [PREVIOUS])
    mixed = sent(GENERATED, previous=OWN)
    verification("a rotation from an own secret, and the receiver has that", valid, mixed, [OWN])
    verification("an own secret in the form of Standard Webhooks", (valid, bad), sent(OWN), [standard_form(OWN)])
    verification("a secret with a letter in another case", bad, sent(OWN), [OWN.replace("c", "C", 1)])

    # The body is signed byte for byte.
    verification("another body", bad, good, body=BODY.replace(b"policy", b"Policy"))
    verification("a body with a byte less", bad, good, body=BODY[:-1])
    verification("a body that has gained a line break", bad, good, body=BODY + b"\n")
    verification("a body that was parsed and written again", bad, good, body=json.dumps(json.loads(BODY)).encode())
    verification("the body is lost", bad, good, body=b"")
    with_break = sent(GENERATED, body=BODY + b"\n")
    verification("a body that has lost its line break", bad, with_break)

    # Headers of another request.
    verification("the id of another event", (bad, valid), changed({"webhook-id": ID[:-1] + "6"}))
    verification("the time of another attempt", (bad, valid), changed({"webhook-timestamp": str(TIME + 1)}))

    # The clock.
    for name, age, result in [
        ("as old as the tolerance", 300, valid),
        ("a second older than the tolerance", 301, "timestamp_too_old"),
        ("as far ahead as the tolerance", -300, valid),
        ("a second further ahead than the tolerance", -301, "timestamp_too_new"),
        ("a recorded request of last year", 31_536_000, "timestamp_too_old"),
    ]:
        verification(name, (result, valid), good, now=TIME + age)
    verification("a tolerance of a minute", ("timestamp_too_old", valid), good, now=TIME + 61, tolerance=60)
    verification("a tolerance of a day", valid, good, now=TIME + 86_400, tolerance=86_400)
    verification("no tolerance at all", valid, good, now=TIME, tolerance=0)
    verification("old and of another secret: the signature is checked first", bad, good, [OWN], now=TIME + 999)
    verification("the time 0", ("timestamp_too_old", valid), sent(GENERATED, timestamp=0))

    # Missing headers.
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"]:
        verification(f"without {name}", (missing, valid), changed({name: None}))
        verification(f"an empty {name}", (missing, valid), changed({name: ""}))
    verification("without X-Keeptrusts-Signature", (valid, missing), changed({"X-Keeptrusts-Signature": None}))
    verification("an empty X-Keeptrusts-Signature", (valid, missing), changed({"X-Keeptrusts-Signature": ""}))
    previous_only = changed({"X-Keeptrusts-Signature": None}, previous=PREVIOUS)
    verification("only the signature with the old secret", valid, previous_only, [PREVIOUS])
    verification("no headers", missing, {})

    # Names of headers.
    verification("names of headers in lower case", valid, {name.lower(): value for name, value in rotation.items()})
    verification("names of headers in upper case", valid, {name.upper(): value for name, value in rotation.items()})
    verification("names of headers in mixed case", valid, {name.title(): value for name, value in rotation.items()})

    # webhook-id.
    dotted = sent(GENERATED, webhook_id="evt_1.1776940200")
    verification("a dot in webhook-id", (malformed, valid), dotted)
    verification("a blank in webhook-id", (malformed, valid), sent(GENERATED, webhook_id="evt 1"))
    verification("webhook-id is not ASCII", (malformed, valid), sent(GENERATED, webhook_id="évt_1"))

    # webhook-timestamp.
    for wrong in ["yesterday", "1776940200.0", "-1776940200", "+1776940200", "1776940200 0", "1_776_940_200",
                  "0x69E9F3A8", "1e9", "９", "2026-04-23T10:30:00Z", "1" * 13, "9" * 400]:
        verification(f"webhook-timestamp is {wrong[:24]}", (malformed, valid), changed({"webhook-timestamp": wrong}))
    in_milliseconds = sent(GENERATED, timestamp=TIME * 1000)
    verification("webhook-timestamp in milliseconds", (malformed, valid), in_milliseconds)
    zeros = sent(GENERATED, timestamp=f"00{TIME}")
    verification("webhook-timestamp with zeros before it, signed so", valid, zeros)
    verification("zeros before webhook-timestamp, not signed", (bad, valid), changed({"webhook-timestamp": f"0{TIME}"}))

    # webhook-signature.
    other = standard(OWN, ID, TIME, BODY)
    digest = entry.removeprefix("v1,")
    urlsafe = next(
        standard(GENERATED, f"evt_{n}", TIME, BODY) for n in range(99)
        if {"+", "/"} & set(standard(GENERATED, f"evt_{n}", TIME, BODY)[3:])
    )
    last = digest[-2]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = digest[:-2] + alphabet[alphabet.index(last) | 1] + "="
    for name, value, result in [
        ("the right signature is the second one", f"{other} {entry}", valid),
        ("the right signature is the last of ten", " ".join([other] * 9 + [entry]), valid),
        ("two blanks between signatures", f"{other}  {entry}", valid),
        ("signatures of other versions beside the right one", f"v1a,{digest} v2,{digest} {entry} v1", valid),
        ("an entry that cannot be read beside the right one", f"v1,=== {entry}", valid),
        ("an entry that cannot be read beside a wrong one", f"v1,=== {other}", bad),
        ("only a signature of another version", f"v2,{digest}", malformed),
        ("only an asymmetric signature", f"v1a,{digest}", malformed),
        ("a version in upper case", f"V1,{digest}", malformed),
        ("a signature without its version", digest, malformed),
        ("signatures with a comma between them", f"{other},{entry}", malformed),
        ("a signature in hex", "v1," + base64.b64decode(digest).hex(), malformed),
        ("a signature without padding", entry.rstrip("="), malformed),
        ("a signature that is cut", entry[:-8], malformed),
        ("a signature of 33 bytes", "v1," + base64.b64encode(bytes(33)).decode(), malformed),
        ("a signature with stray bits in its base64", f"v1,{stray}", bad),
        ("a signature with a letter in another case", "v1," + digest.swapcase(), bad),
        ("nothing after the version", "v1,", malformed),
        ("a blank instead of signatures", " ", malformed),
        ("webhook-signature is not ASCII", "v1,ÿ" + digest[1:], malformed),
        ("the value of the other header", hexadecimal, malformed),
    ]:
        verification(name, (result, valid), changed({"webhook-signature": value}))
    index = next(n for n in range(99) if standard(GENERATED, f"evt_{n}", TIME, BODY) == urlsafe)
    in_url = "v1," + urlsafe[3:].replace("+", "-").replace("/", "_")
    headers = changed({"webhook-signature": in_url}, webhook_id=f"evt_{index}")
    verification("a signature in base64url", (malformed, valid), headers)

    # X-Keeptrusts-Signature.
    digits = hexadecimal.removeprefix("sha256=")
    for name, value, result in [
        ("hex in upper case", "sha256=" + digits.upper(), valid),
        ("a scheme in upper case", "SHA256=" + digits, malformed),
        ("hex without its scheme", digits, malformed),
        ("another scheme", "sha1=" + digits[:40], malformed),
        ("another scheme of the same length", "sha512=" + digits, malformed),
        ("the scheme twice", "sha256=sha256=" + digits, malformed),
        ("hex that is cut", hexadecimal[:-2], malformed),
        ("hex with half of a byte less", hexadecimal[:-1], malformed),
        ("hex with a byte more", hexadecimal + "00", malformed),
        ("text behind the hex", hexadecimal + "zz", malformed),
        ("a digit that is not hex", hexadecimal[:-1] + "g", malformed),
        ("another digit", hexadecimal[:-1] + ("0" if hexadecimal[-1] != "0" else "1"), bad),
        ("base64 instead of hex", "sha256=" + digest, malformed),
        ("only the scheme", "sha256=", malformed),
        ("X-Keeptrusts-Signature is not ASCII", "sha256=é" + digits[1:], malformed),
        ("digits that are not ASCII", "sha256=" + "９" * 64, malformed),
        ("the value of webhook-signature", entry, malformed),
        ("zeros", "sha256=" + "0" * 64, bad),
    ]:
        verification(name, (valid, result), changed({"X-Keeptrusts-Signature": value}))
    beside = changed({"X-Keeptrusts-Signature": "sha256=nonsense"}, previous=PREVIOUS)
    verification("the signature with the old secret beside a malformed one", valid, beside, [PREVIOUS])


verifications()
assert len({case["name"] for case in VERIFICATIONS}) == len(VERIFICATIONS), "names are unique"
print(json.dumps({"about": ABOUT, "signatures": SIGNATURES, "verifications": VERIFICATIONS}, indent=2, ensure_ascii=True))
