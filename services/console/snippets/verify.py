import hashlib, hmac

def verify(secret: str, raw_body: bytes, header: str) -> bool:
    expected = hmac.new(secret.encode(), raw_body, hashlib.sha256).hexdigest()
    scheme, _, received = (header or "").partition("=")
    return scheme == "sha256" and hmac.compare_digest(expected.encode(), received.lower().encode())
