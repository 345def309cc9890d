"""Bad requests, generated from a seed, each with what the service may say to it.

An answer is named by its status and its reason or, where it has none, its kind of problem: "422 out_of_range".
"""

import gzip
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from random import Random
from typing import NamedTuple, TypeAlias

from inference.feedback import MAX_BYTES as FEEDBACK_BYTES
from inference.settings import Settings
from occupancy.reading import FEATURES, MEASURED, typical

LIMITS = Settings()
GOOD_ONE_IN = 20
HEAVY_ONE_IN = 150
MEGABYTE = bytes(2**20)
PATIENCE = 3  # seconds between two pieces of a client that does not end by itself: less than the server's 5


class Abuse(NamedTuple):
    """What a client sends and does, and what it may be told."""

    pieces: tuple[bytes, ...]
    answers: tuple[frozenset[str], ...]
    """One set of names for each answer."""
    last: bool = False
    """The server ends the connection after it."""
    then: str = ""
    """`end`: the client closes its half; `reset`: it goes, without waiting for an answer."""
    pause: float = 0.0
    """Seconds between two pieces."""


Kind: TypeAlias = Callable[[Random], Abuse]


def _known() -> list[dict[str, float]]:
    random = Random(7)
    return [
        typical(
            Temperature=round(random.uniform(18, 25), 2),
            Humidity=round(random.uniform(15, 45), 2),
            Light=random.choice([0.0, 35.5, 433.0, 620.25]),
            CO2=round(random.uniform(400, 1400), 1),
        )
        for _ in range(64)
    ]


KNOWN = _known()
"""Good readings, by their place in a table that the test knows the answers of."""


def abuses(random: Random) -> Iterator[tuple[str, Abuse]]:
    """Give them without end, with their kinds' names; one in `GOOD_ONE_IN` is a good request."""
    light, heavy = cycle(LIGHT), cycle(HEAVY)
    for n in count():
        if n % GOOD_ONE_IN == 0:
            kind: Kind = good
        else:
            kind = next(heavy if n % HEAVY_ONE_IN == 1 else light)
        yield kind.__name__, kind(random)


def holding_on(random: Random, number: int) -> Iterator[tuple[str, Abuse]]:
    """Give so many clients that keep a connection until the server ends it."""
    return ((kind.__name__, kind(random)) for kind in islice(cycle(HOLDING_ON), number))


# --- how requests are written


def post(body: bytes, *headers: str, target: str = "/predict", method: str = "POST") -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "\r\n"]).encode("latin-1") + body


def headed(*lines: bytes, version: bytes = b"1.1") -> bytes:
    """Write the head of a request, whatever its lines are."""
    return b"\r\n".join([b"POST /predict HTTP/" + version, b"Host: x", *lines, b"\r\n"])


def told(data: bytes, *names: str, last: bool = False, then: str = "") -> Abuse:
    return Abuse((data,), (frozenset(names),), last, then)


def texts(random: Random, **changed: str) -> dict[str, str]:
    """Give a known good reading as JSON texts, with some of them changed."""
    place = random.randrange(len(KNOWN))
    reading = {name: repr(value) for name, value in KNOWN[place].items()}
    return reading | {"id": f'"good-{place}"'} | changed


def joined(reading: dict[str, str]) -> bytes:
    return ("{" + ", ".join(f'"{name}": {text}' for name, text in reading.items()) + "}").encode()


def bad(random: Random, name: str, text: str) -> bytes:
    """Write a reading with one bad value, alone or among good ones: named the same."""
    reading = joined(texts(random, **{name: text}))
    if random.random() < 0.7:
        return reading
    several = [joined(texts(random)) for _ in range(random.randrange(5))]
    several.insert(random.randrange(len(several) + 1), reading)
    return b"[" + b",".join(several) + b"]"


def sensor(random: Random) -> str:
    return random.choice(list(MEASURED))


def rubbish(random: Random, longest: int = 300) -> bytes:
    return random.randbytes(random.randrange(1, longest))


# --- what is no abuse


def good(random: Random) -> Abuse:
    several = [joined(texts(random)) for _ in range(random.choice([1, 1, 1, 3]))]
    if len(several) == 1:
        return told(post(several[0]), "200")
    if random.random() < 0.5:
        return told(post(b"\n".join(several), "Content-Type: application/x-ndjson"), "200")
    return told(post(b"[" + b",".join(several) + b"]", target="/predict?explain=1"), "200")


ONE = told(post(joined(texts(Random(0)))), "200")


# --- readings


def wrong_types(random: Random) -> Abuse:
    value = random.choice(['"21.5"', '""', "true", "false", "null", "[]", "{}", "[21.5]", '{"value": 21.5}'])
    return told(post(bad(random, sensor(random), value)), "422 not_a_number")


def not_finite(random: Random) -> Abuse:
    value = random.choice(["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "9" * 400, "1" + "0" * 5000])
    return told(post(bad(random, sensor(random), value)), "422 not_finite")


def huge_numbers(random: Random) -> Abuse:
    value = random.choice(["1e308", "-1e308", "9" * 20, "-" + "9" * 300, "1e18", "99999999.5", "-9223372036854775809"])
    return told(post(bad(random, sensor(random), value)), "422 out_of_range")


def just_out_of_range(random: Random) -> Abuse:
    feature = random.choice(FEATURES)
    value = random.choice([feature.low - random.uniform(0.01, 50), feature.high + random.uniform(0.01, 50)])
    return told(post(bad(random, feature.name, repr(value))), "422 out_of_range")


def bad_texts(random: Random) -> Abuse:
    value = random.choice(["7", "true", "[]", "{}", '""', '"' + "x" * 65 + '"', r'"a\nb"', r'"\u0000"', r'"\ud800"'])
    return told(post(bad(random, random.choice(["id", "room", "date"]), value)), "422 not_a_text", "422 not_a_date")


def bad_dates(random: Random) -> Abuse:
    days = ["yesterday", "2015-02-30", "1423000000", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "12:00"]
    return told(post(bad(random, "date", f'"{random.choice(days)}"')), "422 not_a_date")


def missing_fields(random: Random) -> Abuse:
    reading = texts(random)
    for name in random.sample(list(MEASURED), random.randrange(1, 5)):
        del reading[name]
    return told(post(joined(reading)), "422 missing")


def unknown_fields(random: Random) -> Abuse:
    name = random.choice(["temperature", "co2", " Light", "", "__proto__", "$where", r"\u0000", "x" * 3000, "é", "😀"])
    return told(post(bad(random, name, "1")), "422 unknown")


def duplicate_keys(random: Random) -> Abuse:
    name = sensor(random)
    twice = random.choice([name, f"\\u{ord(name[0]):04x}{name[1:]}"])  # the second spelling is the same name
    reading = joined(texts(random))
    return told(post(reading[:-1] + f', "{twice}": 1'.encode() + b"}"), "422 duplicate")


def not_objects(random: Random) -> Abuse:
    value = random.choice([b"1", b'"x"', b"null", b"true", b"-0.0", b'"' + b"x" * 5000 + b'"'])
    if random.random() < 0.5:
        return told(post(value), "400 not_an_object")
    return told(post(b"[" + joined(texts(random)) + b"," + value + b"]"), "422 not_an_object")


def wrong_counts(random: Random) -> Abuse:
    if random.random() < 0.8:
        return told(post(b" [ ] "), "400 empty")
    reading = joined(texts(random))
    return told(post(b"[" + b",".join([reading] * (LIMITS.max_readings + 1)) + b"]"), "413 too_many")


def truncated_json(random: Random) -> Abuse:
    whole = bad(random, sensor(random), "1")
    return told(post(whole[: random.randrange(len(whole))]), "400 not_json")


def not_json(random: Random) -> Abuse:
    reading = joined(texts(random))
    return told(
        post(
            random.choice(
                [
                    reading + reading,
                    reading + b"]",
                    reading[:-1] + b",}",
                    reading.replace(b'"', b"'"),
                    b"// a comment\n" + reading,
                    reading.replace(b": ", b" = "),
                    b"<reading><Temperature>21.5</Temperature></reading>",
                    b"Temperature=21.5&Humidity=30",
                    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--",
                    b"Temperature: 21.5\nHumidity: 30\n",
                    reading.replace(b"}", b', "Light": 01}'),
                    reading.replace(b"}", b', "room": "\t"}'),
                    b"undefined",
                    bytes(64),
                ]
            ),
            random.choice(["A: b", "Content-Type: application/json", "Content-Type: multipart/form-data; boundary=x"]),
        ),
        "400 not_json",
    )


def deep_nesting(random: Random) -> Abuse:
    depth = random.choice([1_000, 10_000, 60_000])
    opened = random.choice([b"[", b'{"a":', b'[{"Temperature":'])
    if random.random() < 0.5:
        return told(post(opened * depth), "400 too_deep", "400 not_json")
    value = "[" * depth + "]" * depth
    return told(post(bad(random, sensor(random), value)), "400 too_deep", "422 not_a_number")


def wrong_encodings(random: Random) -> Abuse:
    text = joined(texts(random)).decode()
    encoded = random.choice(
        [
            text.encode("utf-16"),
            text.encode("utf-16-be"),
            text.encode("utf-32"),
            text.encode("utf-8-sig"),
            gzip.compress(text.encode()),
            text.replace("good", "é").encode("latin-1"),
            text.replace("good", "読").encode("shift-jis"),
            text.encode().replace(b"good", b"\xc0\xaf"),  # a slash, longer than it may be
            text.encode().replace(b"good", b"\xed\xa0\x80"),  # half of a surrogate pair
        ]
    )
    return told(post(encoded), "400 not_utf8", "400 not_json")


def content_encodings(random: Random) -> Abuse:
    encoding = random.choice(["gzip", "br", "gzip, identity", "x" * 500, "\xe9", "deflate"])
    return told(post(gzip.compress(b"{}"), f"Content-Encoding: {encoding}"), "415 unsupported-media-type")


def random_bytes(random: Random) -> Abuse:
    kind = random.choice(["application/json", "text/plain", "*/*", "", ";;;", "\xff", "application/x-protobuf"])
    return told(post(b"\xff" + rubbish(random, 5000), f"Content-Type: {kind}"), "400 not_utf8")


def mutated_json(random: Random) -> Abuse:
    """A byte changed anywhere may do no harm, too."""
    body = bytearray(joined(texts(random, id='"mutant"')))
    for _ in range(random.randrange(1, 4)):
        body[random.randrange(len(body))] = random.randrange(256)
    return told(post(bytes(body)), *MUTATED)


MUTATED = ["200", "400 not_json", "400 not_utf8", "400 not_an_object"] + [
    f"422 {reason}"
    for reason in ("missing", "unknown", "duplicate", "not_a_number", "not_a_text", "not_finite", "out_of_range")
]


def partial_batches(random: Random) -> Abuse:
    """Some readings refused, all others answered: this is an answer."""
    several = [joined(texts(random)) for _ in range(3)] + [b"1", b'{"CO2": NaN}', joined(texts(random, Light="-1"))]
    random.shuffle(several)
    return told(post(b"[" + b",".join(several) + b"]", target="/predict?partial=true"), "200")


# --- CSV and NDJSON

HEADER = ",".join(MEASURED).encode() + b"\n"
MORE = b"".join(b",%g" % typical()[name] for name in MEASURED[4:])  # the values that the rows below do not speak of


def bad_headers_of_csv(random: Random) -> Abuse:
    body, name = random.choice(
        [
            (b"21.5,30,0,500\n", "400 no_header"),
            (b"a;b;c\n1;2;3\n", "400 no_header"),
            (b'"Temperature,Humidity\n1,2\n', "400 not_csv"),
            (HEADER.replace(b"CO2", b"Light") + b"21.5,30,0,500\n", "400 missing"),
            (HEADER.replace(b"\n", b",CO2\n") + b"21.5,30,0,500,500\n", "400 duplicate"),
            (HEADER.replace(b"CO2", b"co2") + b"21.5,30,0,500\n", "400 unknown"),
            (HEADER.replace(b",CO2", b"") + b"21.5,30,0\n", "400 missing"),
            (HEADER.replace(b",CO2", b",,CO2") + b"21.5,30,0,,500\n", "400 unknown"),
            (HEADER, "400 empty"),
            (b"# nothing\n" * random.randrange(1, 2000), "400 empty"),
            (b"\n" * random.randrange(1, 2000), "400 empty"),
            (HEADER + b"\xff\xfe\n", "400 not_utf8"),
            (HEADER.decode().encode("utf-16"), "400 not_utf8"),
        ]
    )
    fields = {"missing", "duplicate", "unknown"}  # an error of a field, though of no row's
    status = "422" if name.partition(" ")[2] in fields else "400"
    names = {name, f"{status} {name.partition(' ')[2]}", "422 duplicate"}
    return told(post(body, "Content-Type: text/csv; header=present"), *names)


def bad_rows_of_csv(random: Random) -> Abuse:
    row, name = random.choice(
        [
            (b"21.5,30,0", "cell_count"),
            (b"21.5,30,0,500,,,,", "cell_count"),
            (b'21.5,30,0,"500', "not_csv"),
            (b'21.5,30,0,"5"00', "not_csv"),
            (b"21.5,30,0,a", "not_a_number"),
            (b"21.5,30,0,0x1F4", "not_a_number"),
            (b"21.5,30,0,5_00", "not_a_number"),
            ("21.5,30,0,٥٠٠".encode(), "not_a_number"),
            (b"21.5,30,0,nan", "not_finite"),
            (b"21.5,30,0,1e999", "not_finite"),
            (b"21.5,30,,500", "missing"),
            (b"99,30,0,500", "out_of_range"),
            (b"=cmd|' /C calc'!A0,30,0,500", "not_a_number"),
            (b"x" * 200_000, "cell_count"),
        ]
    )
    rows = [b"21.5,30,0,500" + MORE] * random.randrange(1, 20)
    rows.insert(random.randrange(len(rows) + 1), row + MORE)
    return told(post(HEADER + b"\n".join(rows), "Content-Type: text/csv"), f"422 {name}", "422 not_csv")


def random_lines(random: Random) -> Abuse:
    kind = random.choice(["text/csv", "application/x-ndjson", "TEXT/CSV ;charset=x", "application/jsonl"])
    lines = [bytes(random.choices(b'{}[]",:\\#\t ;=ab019-', k=random.randrange(80))) for _ in range(20)]
    return told(post(b"?\n" + b"\n".join(lines), f"Content-Type: {kind}"), *OF_LINES)


OF_LINES = [f"400 {r}" for r in ("no_header", "not_csv")] + [f"422 {r}" for r in ("not_json", "not_an_object")]


def bad_ndjson(random: Random) -> Abuse:
    reading = joined(texts(random))
    body, name = random.choice(
        [
            (reading + b" " + reading, "422 not_json"),
            (reading.replace(b", ", b",\n"), "422 not_json"),
            (b"[" + reading + b"]", "422 not_an_object"),
            (reading + b"\n1\n", "422 not_an_object"),
            (reading + b"\n" + b"[" * 100_000, "422 too_deep"),
            (b"\r\n \n\t\n", "400 empty"),
            (reading + b"\n\xff", "400 not_utf8"),
            ((reading + b"\n") * (LIMITS.max_readings + 1), "413 too_many"),
            (b"{}\n" * LIMITS.max_readings, "422 missing"),
        ]
    )
    return told(post(body, "Content-Type: application/ndjson"), name)


# --- queries and feedback


def bad_queries(random: Random) -> Abuse:
    query = random.choice(
        [
            "explain=maybe",
            "partial=",
            "Explain=true",
            "explain=true&explain=2",
            "%00=1",
            "%zz=%zz",
            "%ff%fe=1",
            "explain=%f0%9f%98%80",
            "a" * 3500,
            "&".join(f"o{n}=1" for n in range(500)),
            "explain[]=true",
            "explain=true;partial=true",
            "explain=true%0d%0aX:%20y",
            "../../etc/passwd",
            "'%20OR%201=1--=1",
            "?explain=true",
        ]
    )
    return told(post(joined(texts(random)), target=f"/predict?{query}"), "400 invalid")


def bad_feedback(random: Random) -> Abuse:
    identity = '"0123456789ab-1"'
    body, status = random.choice(
        [
            (b"{}", 422),
            (b"[]", 422),
            (b"null", 422),
            (f'{{"id": {identity}}}'.encode(), 422),
            (f'{{"id": {identity}, "occupied": 1}}'.encode(), 422),
            (f'{{"id": {identity}, "occupied": "true"}}'.encode(), 422),
            (f'{{"id": {identity}, "occupied": true, "by": "me"}}'.encode(), 422),
            (b'{"id": "../../x", "occupied": true}', 422),
            (b'{"id": "0123456789AB-1", "occupied": true}', 422),
            (b'{"id": "0123456789ab-0", "occupied": true}', 422),
            (rb'{"id": "0123456789ab-1\n", "occupied": true}', 422),
            (b'{"id": 7, "occupied": true}', 422),
            (b"", 400),
            (f'{{"id": {identity}, "occupied": tru'.encode(), 400),
            (b"[" * (FEEDBACK_BYTES - 1), 422),
            (b"\xff" + rubbish(random), 400),
            (joined(texts(random)), 422),
            (b" " * (FEEDBACK_BYTES + random.randrange(1, 9999)), 413),
        ]
    )
    return told(post(body, "Authorization: Bearer \xe9", target="/feedback"), f"{status} invalid-feedback")


# --- HTTP: requests that are understood, and refused


def unknown_methods(random: Random) -> Abuse:
    path = random.choice(["/predict", "/predict?explain=true", "/feedback", "/healthz", "/model", "/metrics"])
    method = random.choice(["PUT", "DELETE", "PATCH", "PROPFIND", "BREW", "TRACE", "X" * 20])
    smuggled = post(joined(texts(random)))
    body = random.choice([b"", smuggled, smuggled * 20])
    return told(post(body, target=path, method=method), "405 method-not-allowed")


def methods_of_others(random: Random) -> Abuse:
    path, method = random.choice(
        [("/predict", "GET"), ("/feedback", "GET"), ("/healthz", "POST"), ("/model", "POST"), ("/", "POST")]
    )
    return told(post(b"{}", target=path, method=method), "405 method-not-allowed")


def connect(random: Random) -> Abuse:
    return told(post(b"", target="/predict", method="CONNECT"), "405 method-not-allowed", last=True)


def unknown_paths(random: Random) -> Abuse:
    path = random.choice(
        [
            "/nowhere",
            "/predict/",
            "/predict/../healthz",
            "/PREDICT",
            "/predict%00",
            "/%ff%fe",
            "/%2e%2e/etc/passwd",
            "/healthz/",
            "/.git/config",
            "/wp-login.php",
            "/" + "a" * 3900,
            "/" + "a/" * 1900,
            "/predict;x=1",
            "/<script>alert(1)</script>",
            "http://elsewhere/nowhere",
        ]
    )
    method = random.choice(["GET", "POST", "PUT", "BREW"])
    return told(post(random.choice([b"", b"{}"]), target=path, method=method), "404 not-found")


def odd_headers(random: Random) -> Abuse:
    """Headers that the service reads, or could, with nonsense in them; the reading is bad as well."""
    headers = random.sample(
        [
            "X-Request-Id: " + random.choice(["", "a b", "x" * 65, "\xe9", "<b>", "x" * 64]),
            "Traceparent: " + random.choice(["", "00-0-0-00", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01", "x" * 5000]),
            "X-Content-Length: 5",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13",
            "Accept: application/xml;q=nan",
            "Accept-Encoding: gzip;q=1e999, *;q=0",
            "Range: bytes=0-18446744073709551615",
            "If-Modified-Since: yesterday",
            "Cookie: " + "a=b; " * 1000,
            "Forwarded: for=\xff",
            "X_Request_Id: smuggled",
            "Transfer_Encoding: chunked",
            "Keep-Alive: timeout=-1, max=0",
            "Expect: 100-continue",
        ],
        k=4,
    )
    return told(post(b'{"CO2": ""}', *headers), "422 not_a_number")


def many_headers(random: Random) -> Abuse:
    few = random.randrange(50, 95)
    return told(post(b"[1]", *(f"A{n}: {'x' * random.randrange(100)}" for n in range(few))), "422 not_an_object")


def pipelined(random: Random) -> Abuse:
    parts = [random.choice(KEEPING)(random) for _ in range(random.randrange(2, 9))]
    data = b"".join(piece for part in parts for piece in part.pieces)
    return Abuse((data,), tuple(names for part in parts for names in part.answers))


def slowly(random: Random) -> Abuse:
    whole = random.choice(KEEPING)(random)
    (data,) = whole.pieces
    cuts = sorted(random.sample(range(1, len(data)), min(6, len(data) - 1)))
    pieces = tuple(data[begin:end] for begin, end in zip([0, *cuts], [*cuts, None], strict=True))
    return whole._replace(pieces=pieces, pause=random.choice([0.0, 0.001, 0.01]))


# --- HTTP: what is none


def not_http(random: Random) -> Abuse:
    data = random.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rubbish(random),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x05\x01\x00" + rubbish(random),
            b"EHLO x\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"GET\r\n",
            b"GET /healthz\r\n",
            b"get /healthz HTTP/1.1\r\n",
            b"GET  /healthz HTTP/1.1\r\n",
            b"GET healthz HTTP/1.1\r\n",
            b"GET * HTTP/1.1\r\n",
            b"GET http://[/ HTTP/1.1\r\n",
            b"GET /\xff HTTP/1.1\r\n",
            b"GET /healthz HTTP/9.9\r\n",
            b"GET /healthz HTCPCP/1.0\r\n",
            b"GET /healthz HTTP/1.1 \r\n",
            b"G\x00T /healthz HTTP/1.1\r\n",
            rubbish(random),
        ]
    )
    return told(b"?" + data + b"\r\n\r\n" if data[:1] in b"\r\n" else data + b"\r\n\r\n", *OF_THE_SERVER, last=True)


OF_THE_SERVER = ["400 malformed-request"]


def bad_header_lines(random: Random) -> Abuse:
    line = random.choice(
        [
            b"no colon",
            b": no name",
            b"A : space",
            b"A\x00: b",
            b"A: \x00",
            b"A: b\rc",
            b"A: b\nC: d\x7f",
            b" folded: at once",
            b"A: b\r\n folded",
            b"\xe9: b",
            b"(A): b",
            b"Host: y",
            b"Content-Type: a\r\nContent-Type: b",
            b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off",
            b"Script_Name: /elsewhere",
        ]
    )
    return told(headed(b"Content-Length: 2", line) + b"{}", *OF_THE_SERVER, last=True)


def bad_lengths(random: Random) -> Abuse:
    length = random.choice(
        [
            *(b"-1", b"+2", b"0x2", b"2.0", b"2e0", b"1_0", b"", b"two", b"2, 2", b"\xb2", b"9" * 5000),
            b"2\r\nContent-Length: 2",
            b"2\r\nTransfer-Encoding: chunked",
        ]
    )
    return told(headed(b"Content-Length: " + length) + b"{}", *OF_THE_SERVER, last=True)


def bad_codings(random: Random) -> Abuse:
    coding = random.choice(
        [b"gzip", b"identity", b"chunked, chunked", b"chunked, gzip", b"xchunked", b"chunked;q=1", b""]
    )
    head = headed(b"Transfer-Encoding: " + coding, version=random.choice([b"1.1", b"1.0"]))
    return told(head + chunks(b"{}"), *OF_THE_SERVER, last=True)


def expectations(random: Random) -> Abuse:
    return told(post(b"{}", "Expect: the unexpected"), "417 malformed-request", last=True)


def header_floods(random: Random) -> Abuse:
    line, many, one = b"/" + b"x" * 5000, [f"A{n}: x" for n in range(random.randrange(101, 2000))], "A: " + "x" * 9000
    if random.random() < 0.2:
        return told(b"GET " + line + b" HTTP/1.1\r\n\r\n", "414 malformed-request", last=True)
    return told(post(b"{}", *random.choice([many, [one], [one] * 90])), "431 malformed-request", last=True)


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


CHUNKED = headed(b"Transfer-Encoding: chunked")


def chunked(random: Random) -> Abuse:
    body = bad(random, sensor(random), "true")
    cut = random.randrange(1, len(body) - 1)
    data = chunks(body[:cut], body[cut:])
    if random.random() < 0.5:
        data = data.replace(b"\r\n", random.choice([b";a=b\r\n", b" ;\t a\r\n", b';a="\xff"\r\n']), 1)
    return told(CHUNKED + data, "422 not_a_number")


def chunked_rubbish(random: Random) -> Abuse:
    body = joined(texts(random))
    data = random.choice(
        [
            b"not hex\r\n\r\n",
            b"-1\r\n\r\n",
            b"0x5\r\n12345\r\n0\r\n\r\n",
            b"\r\n\r\n",
            b"5 5\r\n12345\r\n0\r\n\r\n",
            b"5;\x00\r\n12345\r\n0\r\n\r\n",
            b"5;a\rb\r\n12345\r\n0\r\n\r\n",
            b"2\r\n{}x\r\n0\r\n\r\n",
            b"f" * 20_000 + b"\r\n",
            b"5;" + b"a" * 20_000 + b"\r\n",
            chunks(body)[:-2] + b"Content-Length: 5\r\n\r\n",
            chunks(body)[:-2] + b"no colon\r\n\r\n",
            chunks(body)[:-2] + b"A: b\nC: d\r\n\r\n",
            chunks(body).replace(b"\r\n", b"\n"),
            rubbish(random) + b"\r\n\r\n",
        ]
    )
    return told(CHUNKED + data + post(body), "400 incomplete", last=True)


# --- clients that go


def half_closed(random: Random) -> Abuse:
    """The client has no more to say, but listens."""
    whole = post(bad(random, sensor(random), "[]"))
    body = whole.index(b"\r\n\r\n") + 4
    sent, name = random.choice(
        [
            (whole, "422 not_a_number"),
            (whole[: random.randrange(body, len(whole))], "400 incomplete"),
            (CHUNKED + b"7f\r\n" + rubbish(random, 100), "400 incomplete"),
            (CHUNKED + b"f" * 4000 + b"\r\n" + rubbish(random), "400 incomplete"),
            (CHUNKED + b"1\r\n{\r\n0\r\n", "400 incomplete"),
            (whole[: random.randrange(body)], ""),
        ]
    )
    return Abuse((sent,), (frozenset({name}),) if name else (), last=True, then="end")


def reset(random: Random) -> Abuse:
    whole = post(joined(texts(random)), "X-Request-Id: reset")
    begun = CHUNKED.replace(b"Host: x", b"X-Request-Id: reset") + b"5\r\n"
    sent = random.choice([b"", whole, whole * 3, whole[: random.randrange(len(whole))], begun])
    return Abuse((sent,) if sent else (), (), last=True, then="reset")


# --- heavy ones


def a_byte_too_much(random: Random) -> Abuse:
    body = b" " * (LIMITS.max_bytes + random.choice([1, 1000]))
    return told(post(body), "413 too_large", last=True)


LARGE = [
    (piece * (LIMITS.max_bytes // len(piece)), name)
    for piece in (b" ", b"[", b"9", b'"', b"{}\n", b"\xff", b"1,", b"\n")
    for name in ("text/csv", "application/x-ndjson", "application/json")
]


def all_that_is_allowed(random: Random) -> Abuse:
    return _large(*random.choice(LARGE))


def _large(body: bytes, name: str) -> Abuse:
    return told(post(body, f"Content-Type: {name}"), *OF_THE_LARGE)


def every_large_one() -> Iterator[tuple[str, Abuse]]:
    """Give what takes the most memory to answer."""
    return (("every_large_one", _large(*each)) for each in LARGE)


OF_THE_LARGE = [f"400 {r}" for r in ("not_json", "not_utf8", "too_deep", "empty", "no_header", "not_csv")]
OF_THE_LARGE += ["413 too_many", "422 not_json", "422 too_deep", "400 not_an_object", "422 not_an_object"]


def a_hundred_megabytes(random: Random) -> Abuse:
    head = post(b"").replace(b"Length: 0", b"Length: %d" % (100 * len(MEGABYTE)))
    return Abuse((head, *[MEGABYTE] * 100), (frozenset({"413 too_large"}),), last=True)


def a_hundred_megabytes_in_chunks(random: Random) -> Abuse:
    chunk = b"%x\r\n%s\r\n" % (len(MEGABYTE), MEGABYTE)
    return Abuse((CHUNKED, *[chunk] * 100), (frozenset({"413 too_large"}),), last=True)


# --- clients that hold on


def silent(random: Random) -> Abuse:
    return Abuse((), (), last=True)


def head_without_end(random: Random) -> Abuse:
    head = post(b"{}", f"A: {'b' * random.randrange(500)}")[:-4]
    return told(head, "408 request-timeout", last=True)


def body_without_end(random: Random) -> Abuse:
    start = random.choice(
        [post(joined(texts(random)))[:-1], CHUNKED, CHUNKED + b"5\r\n{", CHUNKED + b"2\r\n{}\r\n0\r\n"]
    )
    return told(start, "408 request-timeout", last=True)


def drops(random: Random) -> Abuse:
    """A byte now and then: no single wait is long."""
    data = random.choice([post(b"{}"), CHUNKED.replace(b"\r\n\r\n", b"\r\nA: b\r\n\r\n")])
    return Abuse(tuple(bytes([b]) for b in data[:20]), (frozenset({"408 request-timeout"}),), last=True, pause=PATIENCE)


KEEPING: tuple[Kind, ...] = (
    good,
    wrong_types,
    not_finite,
    huge_numbers,
    just_out_of_range,
    bad_texts,
    bad_dates,
    missing_fields,
    unknown_fields,
    duplicate_keys,
    not_objects,
    truncated_json,
    not_json,
    wrong_encodings,
    content_encodings,
    random_bytes,
    mutated_json,
    partial_batches,
    bad_headers_of_csv,
    bad_rows_of_csv,
    random_lines,
    bad_queries,
    bad_feedback,
    unknown_methods,
    methods_of_others,
    unknown_paths,
    odd_headers,
    many_headers,
    chunked,
)
"""After these a connection is as good as before."""

LIGHT: tuple[Kind, ...] = (
    *KEEPING,
    wrong_counts,
    deep_nesting,
    bad_ndjson,
    connect,
    pipelined,
    slowly,
    not_http,
    bad_header_lines,
    bad_lengths,
    bad_codings,
    expectations,
    header_floods,
    chunked_rubbish,
    half_closed,
    reset,
)
HEAVY: tuple[Kind, ...] = (
    a_byte_too_much,
    all_that_is_allowed,
    a_hundred_megabytes,
    a_hundred_megabytes_in_chunks,
)
HOLDING_ON: tuple[Kind, ...] = (silent, head_without_end, body_without_end, drops)

NAMES = {
    *("200", "404 not-found", "405 method-not-allowed", "408 request-timeout", "415 unsupported-media-type"),
    *("400 malformed-request", "414 malformed-request", "417 malformed-request", "431 malformed-request"),
    *("400 invalid", "400 invalid-feedback", "413 invalid-feedback", "422 invalid-feedback"),
    *("413 too_large", "413 too_many", "400 incomplete", "400 empty", "400 not_utf8", "400 not_json", "400 too_deep"),
    *("400 not_an_object", "400 not_csv", "400 no_header"),
    *(f"422 {r}" for r in ("missing", "unknown", "duplicate", "not_a_number", "not_finite", "out_of_range")),
    *(
        f"422 {r}"
        for r in ("not_a_text", "not_a_date", "not_an_object", "not_json", "too_deep", "cell_count", "not_csv")
    ),
}
"""What the service says to all of these, in each run."""
