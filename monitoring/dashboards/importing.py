"""Puts the dashboards into a running Kibana, by its saved objects import."""

import json
from base64 import b64encode
from collections.abc import Iterator

import urllib3

from monitoring.dashboards.kibana import ndjson, objects
from monitoring.settings import Elasticsearch
from monitoring.store.client import BadConnection, NotAllowed, Refused, Unreachable, authentication, trust
from occupancy import reference

TIMEOUT = 60.0  # seconds


def install(url: str, table: Elasticsearch, compared: reference.Reference | None = None) -> list[str]:
    """Import everything into the Kibana at `url` (a space: URL/s/NAME), with Elasticsearch's user or API key and prefix.

    Gives what is there now, each as kind and title. Raises InputError: Unreachable, NotAllowed, Refused, BadConnection.
    """
    if not url.startswith(("http://", "https://")):
        raise BadConnection(f"Kibana's address is {url!r}: expected scheme://host:port, such as http://127.0.0.1:5601")
    target = f"{url.rstrip('/')}/api/saved_objects/_import?overwrite=true"
    tls = trust(table.elasticsearch_ca_file) if url.startswith("https:") else None
    body = ndjson(objects(table.elasticsearch_prefix, compared))
    with urllib3.PoolManager(ssl_context=tls) as pool:
        try:
            answer = pool.request(
                "POST",
                target,
                headers={"kbn-xsrf": "true"} | dict(_authorization(table)),
                fields={"file": ("occupancy.ndjson", body, "application/ndjson")},
                timeout=TIMEOUT,
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise Unreachable(
                f"no Kibana answers at {url} ({error}); is it running, and is the address right?"
            ) from None
    return list(_imported(url, answer))


def _imported(url: str, answer: urllib3.BaseHTTPResponse) -> Iterator[str]:
    try:
        said = json.loads(answer.data)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    if answer.status in (401, 403):
        raise NotAllowed(
            f"Kibana at {url} does not let us ({answer.status}): ELASTICSEARCH_USER or the API key needs the privilege "
            "Saved Objects Management: All"
        )
    if answer.status == 503:
        raise Unreachable(f"Kibana at {url} is not ready yet; wait until its page opens, then run setup again")
    if answer.status != 200 or "success" not in said:
        why = said.get("message") or answer.data[:200].decode(errors="replace")
        raise Refused(f"Kibana at {url} answers {answer.status}: {why}; is it Kibana, and of version 8.8 or later?")
    if failed := said.get("errors"):
        causes = {f"{e.get('type')} {e.get('title')}: {e.get('error', {}).get('type')}" for e in failed}
        raise Refused(f"Kibana at {url} did not take {len(failed)} objects: {'; '.join(sorted(causes)[:3])}")
    for each in said.get("successResults", ()):
        yield f"{each['type']} {each['meta']['title']}"


def _authorization(table: Elasticsearch) -> Iterator[tuple[str, str]]:
    for kind, value in authentication(table):
        text = value if isinstance(value, str) else b64encode(":".join(value).encode()).decode()
        yield "authorization", f"{'ApiKey' if kind == 'api_key' else 'Basic'} {text}"
