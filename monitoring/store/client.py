"""The connection to Elasticsearch, and what to do where it fails.

A client of version 8 speaks with servers 8 and 9. Secrets come from files only: they show in no process list and in no
settings that somebody prints. They are read once; a changed one wants a restart.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import elasticsearch
from elasticsearch import ApiError, TransportError

from monitoring.settings import Elasticsearch
from occupancy.errors import InputError

TIMEOUT = 30.0
OLDEST = 8
PAGE = 10_000
"""What one answer of a search holds at most."""
KEPT = "5m"


class BadConnection(InputError):
    """What is set to reach Elasticsearch can't be right: the address, or a file that holds a secret or a certificate."""


class Unreachable(InputError):
    """Elasticsearch does not answer, or what answers is not one that we speak with."""


class NotAllowed(InputError):
    """Elasticsearch answers, but does not know us or does not let us."""


class Refused(InputError):
    """Elasticsearch answers a request of ours with an error."""


def connect(table: Elasticsearch, timeout: float = TIMEOUT) -> elasticsearch.Elasticsearch:
    """Make a client from the settings; nothing is sent yet. Close it after use, or use it in a `with`.

    It tries three times more on a lost connection, a timeout (seconds), 429, 502, 503 and 504. Raises BadConnection.
    """
    url = _url(table)
    options: dict[str, Any] = dict(authentication(table))
    if url.startswith("https:"):
        options["ssl_context"] = trust(table.elasticsearch_ca_file)
    elif table.elasticsearch_ca_file:
        raise BadConnection(f"ELASTICSEARCH_CA_FILE is of no use with {url}; write https://")
    return elasticsearch.Elasticsearch(url, request_timeout=timeout, max_retries=3, retry_on_timeout=True, **options)


def check(client: elasticsearch.Elasticsearch) -> str:
    """Ask who is there: gives the server's version. Raises Unreachable or NotAllowed, which say what to do."""
    with explained(client):
        try:
            version = str(client.info()["version"]["number"])
        except elasticsearch.NotFoundError:
            raise Unreachable(_not_elasticsearch(_address(client))) from None
    if int(version.partition(".")[0]) < OLDEST:
        raise Unreachable(f"{_address(client)} is Elasticsearch {version}; {OLDEST} or later is needed")
    return version


@contextmanager
def explained(client: elasticsearch.Elasticsearch) -> Iterator[None]:
    """Turn what the client raises inside into an InputError that says what to do."""
    try:
        yield
    except (ApiError, TransportError) as error:
        raise explain(error, _address(client)) from error


def hits(
    client: elasticsearch.Elasticsearch, index: str, query: Mapping[str, Any], *, sort: str, fields: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Read every document that a query finds, as they all were at one moment, ascending by the field `sort`.

    Each is a hit of the search: `fields` are in hit["fields"], as lists, and hit["sort"][0] is what it is sorted by. It has
    neither source nor _id: what is stored in blocks takes a hundred times longer to find than a column, once there are
    deletions between.
    """
    pit = client.open_point_in_time(index=index, keep_alive=KEPT)["id"]
    after: list[Any] | None = None
    try:
        while True:
            answer = client.search(
                pit={"id": pit, "keep_alive": KEPT},
                size=PAGE,
                query=query,
                sort=[{sort: "asc"}],
                search_after=after,
                stored_fields="_none_",
                docvalue_fields=[{"field": field} for field in fields],
                track_total_hits=False,
            )
            found, pit = answer["hits"]["hits"], answer["pit_id"]
            yield from found
            if len(found) < PAGE:
                return
            after = found[-1]["sort"]
    finally:
        with suppress(ApiError, TransportError):  # it ends by itself, too
            client.close_point_in_time(id=pit)


def explain(error: ApiError | TransportError, url: str) -> InputError:
    """Say what an error of the client means, and what to do about it; `url` is where it was."""
    if isinstance(error, elasticsearch.UnsupportedProductError):
        return Unreachable(_not_elasticsearch(url))
    return _of_answer(error, url) if isinstance(error, ApiError) else _of_transport(error, url)


def _not_elasticsearch(url: str) -> str:
    return f"what answers at {url} is not Elasticsearch; is ELASTICSEARCH_URL right?"


def _of_transport(error: TransportError, url: str) -> InputError:
    if isinstance(error, elasticsearch.SSLError):
        return Unreachable(_of_tls(str(error.message), url))
    if isinstance(error, elasticsearch.ConnectionTimeout):
        return Unreachable(f"Elasticsearch at {url} does not answer in time; is it overloaded, or a firewall between?")
    why = str(error.message).partition("): ")[2] or error.message  # after the library's own name of the connection
    return Unreachable(f"no Elasticsearch answers at {url} ({why}); is it running, and is ELASTICSEARCH_URL right?")


def _of_tls(message: str, url: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in message:
        advice = "give ELASTICSEARCH_CA_FILE the certificate that signed it, and use a name that is in it"
        return f"the certificate at {url} is not trusted ({message}); {advice}"
    return f"no TLS at {url} ({message}); does it speak http:// instead?"


def _of_answer(error: ApiError, url: str) -> InputError:
    reason = _reason(error)
    if error.status_code == 401:
        return NotAllowed(
            f"Elasticsearch at {url} does not know us ({reason}); set ELASTICSEARCH_API_KEY_FILE, or ELASTICSEARCH_USER "
            "and ELASTICSEARCH_PASSWORD_FILE"
        )
    if error.status_code == 403:
        return NotAllowed(f"Elasticsearch at {url} does not allow it: {reason}; docs/store.md lists what a key needs")
    return Refused(f"Elasticsearch at {url} answers {error.status_code}: {reason}")


def _reason(error: ApiError) -> str:
    body = error.body
    cause = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(cause, dict):
        roots = cause.get("root_cause") or [cause]
        return str(roots[0].get("reason") or cause.get("reason") or error.message)
    return str(cause or error.message)[:300]


def authentication(table: Elasticsearch) -> Iterator[tuple[str, Any]]:
    """Give the client's option for an API key or a user, if one is set; raises BadConnection."""
    user, password, key = (
        table.elasticsearch_user,
        table.elasticsearch_password_file,
        table.elasticsearch_api_key_file,
    )
    if key and (user or password):
        raise BadConnection(
            "both an API key and a user are set; leave ELASTICSEARCH_API_KEY_FILE or ELASTICSEARCH_USER out"
        )
    if bool(user) != bool(password):
        raise BadConnection("ELASTICSEARCH_USER and ELASTICSEARCH_PASSWORD_FILE go together; set both")
    if key:
        text = _secret("ELASTICSEARCH_API_KEY_FILE", key)
        name, colon, secret = text.partition(":")  # as id:key, or both encoded, as Kibana shows it
        yield "api_key", (name, secret) if colon else text
    if user:
        yield "basic_auth", (user, _secret("ELASTICSEARCH_PASSWORD_FILE", password))


def trust(path: str) -> ssl.SSLContext:
    """Trust the certificate in a file, or, without one, those of the system; raises BadConnection."""
    try:
        return ssl.create_default_context(cafile=path or None)
    except (OSError, ssl.SSLError) as error:
        why = "no certificate in PEM form is in it" if isinstance(error, ssl.SSLError) else _why(error)
        raise BadConnection(f"ELASTICSEARCH_CA_FILE={path!r} can't be used: {why}") from None


def _address(client: elasticsearch.Elasticsearch) -> str:
    return next(iter(client.transport.node_pool.all())).base_url


def _url(table: Elasticsearch) -> str:
    url = table.elasticsearch_url
    expected = (
        f"ELASTICSEARCH_URL={_without_secrets(url)!r}: expected scheme://host:port, such as http://127.0.0.1:9200"
    )
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError:
        complete = None
    if not complete:
        raise BadConnection(expected)
    if "@" in parts.netloc:
        raise BadConnection(
            f"{expected}; a user goes to ELASTICSEARCH_USER, the password to ELASTICSEARCH_PASSWORD_FILE"
        )
    return url


def _without_secrets(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]


def _secret(variable: str, path: str) -> str:
    try:
        text = Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConnection(f"{variable}={path!r} can't be read: {_why(error)}") from None
    if not text or "\n" in text:
        raise BadConnection(
            f"{variable}={path!r}: expected one line with the secret" + ("" if text else "; it is empty")
        )
    return text


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "it is not text"
