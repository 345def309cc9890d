"""Documents into Elasticsearch, each exactly once: created under its own id, tried again until there is an answer.

What is there already (409) was written before. What Elasticsearch will never take is given back with its reason. All
else (it is away, overloaded, read-only, not set up, it does not know us) passes, or a person mends it: so it is waited for.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard

import elasticsearch
from elasticsearch import ApiError, TransportError
from elasticsearch.helpers import streaming_bulk

from monitoring.store.client import Refused, explain
from monitoring.store.counts import Counts
from monitoring.store.lines import Document
from monitoring.store.templates import FAMILIES
from occupancy.errors import InputError

CHUNK, CHUNK_BYTES = 500, 4 * 1024 * 1024
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
SAY_AGAIN_SECONDS = 60.0
NOT_THE_DOCUMENTS = {"validation_exception", "index_closed_exception", "cluster_block_exception"}
"""Errors of status 400 that a person can mend: too many shards, a closed index."""
Failure = ApiError | TransportError | InputError
log = logging.getLogger("monitoring")


class NotSetUp(InputError):
    """The index templates are missing: what would be stored now would be mapped by guessing."""


class Stopped(Exception):
    """We were told to stop before Elasticsearch had answered; the lines will be read again."""


class Sender:
    """Sends documents, and waits while it can't."""

    def __init__(
        self,
        client: elasticsearch.Elasticsearch,
        prefix: str,
        counts: Counts,
        wait: Callable[[float], bool],
        patience: float,
    ) -> None:
        """Take a client; `wait` waits so many seconds and gives whether to stop; `patience`: seconds, may be infinite."""
        self._client = client.options(max_retries=0)
        self._url = next(iter(client.transport.node_pool.all())).base_url
        self._prefix, self._counts, self._wait, self._patience = prefix, counts, wait, patience
        self._prepared: set[str] = set()  # indices that surely have their templates
        self._failures, self._since, self._said = 0, 0.0, 0.0

    def destination(self) -> str:
        """Name the cluster, once it is there and set up; where patience has an end, at once. Raises InputError, Stopped."""
        while True:
            try:
                self._look_for_templates()
                return f"{self._client.info()['cluster_uuid']}/{self._prefix}"
            except (ApiError, TransportError, NotSetUp) as error:
                if self._patience < float("inf"):
                    raise self._explained(error) from None
                self._pause(error)

    def send(self, documents: Sequence[Document]) -> list[tuple[int, str]]:
        """Store documents; give the numbers of those that Elasticsearch will never take, with its reason.

        Raises Stopped, or an InputError when patience ends.
        """
        refused: list[tuple[int, str]] = []
        left = list(enumerate(documents))
        while left:
            before = len(left)
            left, why = self._try(left, refused)
            if len(left) < before:
                self._recovered()
            if why:
                self._pause(why)
        return refused

    def _try(
        self, numbered: Sequence[tuple[int, Document]], refused: list[tuple[int, str]]
    ) -> tuple[list[tuple[int, Document]], Failure | None]:
        """Send once; gives what has to be sent again, and why."""
        again: list[tuple[int, Document]] = []
        documents = [document for _, document in numbered]
        why: Failure | None = None
        answered = 0
        try:
            if any(document.into not in self._prepared for document in documents):
                self._look_for_templates()
            for each, (stored, answer) in zip(numbered, self._bulk(documents), strict=True):
                answered += 1
                result = answer["create"]
                if stored:
                    self._counts.written += 1
                elif result["status"] == 409:
                    self._counts.repeated += 1
                elif result["status"] == 400 and result["error"]["type"] not in NOT_THE_DOCUMENTS:
                    refused.append((each[0], _reason(result["error"])))
                else:
                    again.append(each)
                    why = Refused(
                        f"Elasticsearch at {self._url} answers {result['status']}: {_reason(result['error'])}"
                    )
        except (ApiError, TransportError, NotSetUp) as error:
            rest = numbered[answered:]
            if not _blames_the_request(error) or (len(rest) == 1 and error.status_code == 413):
                return [*again, *rest], error
            if len(rest) == 1:
                refused.append((rest[0][0], _reason(error.body["error"])))
                return again, why
            for part in (rest[: len(rest) // 2], rest[len(rest) // 2 :]):  # which of them is it?
                more, reason = self._try(part, refused)
                again, why = again + more, reason or why
        self._prepared.update(document.into for document in documents)
        return again, why

    def _bulk(self, documents: Sequence[Document]) -> Iterator[tuple[bool, dict[str, Any]]]:
        actions = (
            {"_op_type": "create", "_index": document.into, "_id": document.id, "_source": document.source}
            for document in documents
        )
        yield from streaming_bulk(
            self._client, actions, chunk_size=CHUNK, max_chunk_bytes=CHUNK_BYTES, raise_on_error=False
        )

    def _look_for_templates(self) -> None:
        for family in FAMILIES:
            name = self._prefix + family
            if not self._client.indices.exists_index_template(name=name):
                raise NotSetUp(f"the index template {name} is missing at {self._url}; run `python -m monitoring setup`")

    def _pause(self, error: Failure) -> None:
        """Wait longer each time, and say why at times; raises what ends the waiting."""
        now, why = time.monotonic(), self._explained(error)
        self._prepared.clear()
        if not self._failures:
            self._since, self._said = now, -SAY_AGAIN_SECONDS
        if now - self._since > self._patience:
            raise InputError(
                f"given up after {self._patience:g} s: {why}; start again, and it goes on where it was"
            ) from None
        if now - self._said >= SAY_AGAIN_SECONDS:
            self._said = now
            log.warning("%s; trying again for %.0f s now", why, now - self._since)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
        self._failures += 1
        self._counts.retries += 1
        if self._wait(pause):
            raise Stopped

    def _recovered(self) -> None:
        self._counts.succeeded()
        if self._failures:
            log.warning("Elasticsearch takes records again, after %.0f s", time.monotonic() - self._since)
        self._failures = 0

    def _explained(self, error: Failure) -> InputError:
        return error if isinstance(error, InputError) else explain(error, self._url)


def _blames_the_request(error: Failure) -> TypeGuard[ApiError]:
    """Whether sending it again can't help: it is too large, or Elasticsearch itself (not a proxy) says that it is wrong."""
    if not isinstance(error, ApiError) or error.status_code not in (400, 413):
        return False
    return error.status_code == 413 or (isinstance(error.body, dict) and isinstance(error.body.get("error"), dict))


def _reason(error: dict[str, Any]) -> str:
    """Say an error of Elasticsearch with what caused it, in at most 1,000 characters."""
    said = [f"{error.get('type')}: {error.get('reason')}"]
    while isinstance(error := error.get("caused_by") or {}, dict) and error.get("reason"):
        said.append(str(error["reason"]))
    return "; ".join(said)[:1000]
