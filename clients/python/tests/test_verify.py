from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from keeptrusts.webhooks import VerificationError, verify, verify_body

VECTORS = json.loads((Path(__file__).parents[3] / "testdata/signatures.json").read_text())


def result(check: Any) -> str:
    try:
        check()
    except VerificationError as error:
        return error.reason
    return "valid"


@pytest.mark.parametrize("case", VECTORS["verifications"], ids=lambda case: case["name"])
def test_what_a_receiver_gets_is_judged_as_the_vectors_say(case: dict[str, Any]) -> None:
    body = case["body"].encode() if "body" in case else base64.b64decode(case["body_base64"])
    headers, secrets = case["headers"], case["secrets"]
    standard = result(
        lambda: verify(headers, body, *secrets, tolerance=case["tolerance_seconds"], now=case["now"])
    )
    assert (standard, result(lambda: verify_body(headers, body, *secrets))) == (case["standard"], case["keeptrusts"])


def test_there_are_vectors() -> None:
    assert len(VECTORS["verifications"]) > 50


def test_a_missing_or_broken_secret_is_no_fault_of_the_request() -> None:
    headers = VECTORS["signatures"][0]["headers"]
    for secrets in ([], [""], ["whsec_%%%"]):
        with pytest.raises(ValueError) as failure:
            verify(headers, b"", *secrets)
        assert "%%%" not in str(failure.value)
