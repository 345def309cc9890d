"""Posts verdicts to an address, each until it is taken, in order."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import requests

from monitoring.drift.verdict import Verdict
from occupancy.errors import InputError

SECONDS = 10.0
HELD = 1000
"""Verdicts that wait for an address that does not take them; the oldest are given up."""


class BadWebhook(InputError):
    """The address or the token can't be used."""


def check(url: str, token_file: str) -> None:
    """Raise BadWebhook for what can never work; an empty address is none."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = None
    if url and not whole:
        raise BadWebhook("MONITORING_WEBHOOK: expected http(s)://host/path")  # the address may hold a secret
    _token(token_file)


def post(url: str, token_file: str, verdicts: Sequence[Verdict]) -> tuple[list[Verdict], str]:
    """Post verdicts, in order; gives those that were not taken, for the next time, and why, in one line or more."""
    waiting, said = list(verdicts[-HELD:]), []
    if len(verdicts) > HELD:
        said.append(f"MONITORING_WEBHOOK: {len(verdicts) - HELD} verdicts are given up: only the last {HELD} wait")
    while waiting:
        if why := _refusal(url, token_file, waiting[0]):
            said.append(f"MONITORING_WEBHOOK: {why}; {len(waiting)} verdicts wait, and are sent at the next look")
            break
        waiting.pop(0)
    return waiting, "\n".join(said)


def _refusal(url: str, token_file: str, verdict: Verdict) -> str:
    """Post one; gives why it was not taken, or nothing."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": verdict.record("")["event.id"]}
    try:
        if token := _token(token_file):
            headers["Authorization"] = f"Bearer {token}"
        answer = requests.post(
            url,
            msgspec.json.encode(verdict),
            headers=headers,
            timeout=SECONDS,
            allow_redirects=False,  # followed as a GET, without the verdict, whose 200 would say nothing
            stream=True,  # only the status counts, however long the rest would take
        )
        answer.close()
    except BadWebhook as error:
        return str(error)
    except requests.RequestException as error:
        return f"no answer ({type(error).__name__})"
    return "" if 200 <= answer.status_code < 300 else f"it answers {answer.status_code}, not 2xx"


def _token(path: str) -> str:
    """Read the webhook's token; an empty path gives none. Raises BadWebhook."""
    try:
        text = Path(path).read_text("ascii").strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is not ASCII"
        raise BadWebhook(f"MONITORING_WEBHOOK_TOKEN_FILE={path} can't be read: {why}") from None
    if path and (not text or not text.isprintable()):
        raise BadWebhook(f"MONITORING_WEBHOOK_TOKEN_FILE={path}: expected one line with the token")
    return text
