"""Draw synthetic logs in the forms of a web server, of sshd and of a service that writes JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

DAYS, LINES = 60, 600   # documents, and lines of each, of each form
_PATHS = ("/", "/index.html", "/login", "/api/v1/items", "/api/v1/orders", "/static/app.js", "/static/site.css",
          "/images/logo.png", "/search", "/favicon.ico", "/robots.txt", "/blog/2026/spring", "/cart", "/checkout")
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
           "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
           "Safari/537.36", "curl/8.5.0", "Mozilla/5.0 (compatible; examplebot/2.1; +http://www.example.com/bot.html)")
_USERS = ("root", "admin", "alice", "bob", "deploy", "git", "postgres", "ubuntu", "test", "oracle")
_EVENTS = (("INFO", "request completed"), ("INFO", "cache refreshed"), ("WARN", "slow query"),
           ("ERROR", "connection to upstream reset"), ("INFO", "job queued"), ("DEBUG", "lock released"))


def logs() -> Iterator[tuple[str, str]]:
    """Yield the name and the lines of every day's log of each form; the same ones in every run."""
    draw = random.Random(16)
    addresses = [".".join(str(draw.randrange(1, 255)) for _ in range(4)) for _ in range(400)]
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    for day in range(DAYS):
        for name, line in (("access", _access), ("auth", _auth), ("service", _service)):
            time, lines = begin + timedelta(days=day), []
            for _ in range(LINES):
                time += timedelta(seconds=draw.expovariate(LINES / 80_000))
                lines.append(line(draw, time, addresses))
            yield f"{name}-{day:03}.log", "\n".join(lines) + "\n"


def _often(draw: random.Random, items: tuple[str, ...] | list[str]) -> str:
    """Draw an item, the first ones far more often than the last."""
    return items[min(len(items) - 1, int(draw.expovariate(6 / len(items))))]


def _access(draw: random.Random, time: datetime, addresses: list[str]) -> str:
    path = _often(draw, _PATHS)
    if path.startswith("/api"):
        path += f"/{draw.randrange(1, 50_000)}"
    elif path == "/search":
        path += f"?q={draw.choice(('lamp', 'oak+table', 'garden', 'chair', 'desk'))}&page={draw.randrange(1, 9)}"
    status = draw.choices((200, 304, 404, 302, 500), (80, 8, 7, 4, 1))[0]
    size = 0 if status == 304 else int(draw.lognormvariate(8, 1.5))
    return (f'{_often(draw, addresses)} - - [{time:%d/%b/%Y:%H:%M:%S} +0000] "{draw.choice(("GET",) * 9 + ("POST",))} '
            f'{path} HTTP/1.1" {status} {size} "-" "{_often(draw, _AGENTS)}"')


def _auth(draw: random.Random, time: datetime, addresses: list[str]) -> str:
    user, address, port = _often(draw, _USERS), _often(draw, addresses), draw.randrange(1024, 65536)
    what = draw.choices((
        f"Failed password for {user} from {address} port {port} ssh2",
        f"Failed password for invalid user {user} from {address} port {port} ssh2",
        f"Accepted publickey for {user} from {address} port {port} ssh2: ED25519 SHA256:{draw.getrandbits(128):032x}",
        f"Connection closed by authenticating user {user} {address} port {port} [preauth]",
        f"pam_unix(sshd:session): session opened for user {user}(uid={1000 + len(user)}) by (uid=0)",
    ), (40, 25, 10, 20, 5))[0]
    return f"{time:%b %d %H:%M:%S} gateway sshd[{draw.randrange(900, 33_000)}]: {what}"


def _service(draw: random.Random, time: datetime, addresses: list[str]) -> str:
    level, message = draw.choice(_EVENTS)
    return json.dumps({"time": f"{time:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", "level": level, "message": message,
                       "id": f"{draw.getrandbits(64):016x}", "duration_ms": round(draw.lognormvariate(3, 1), 2),
                       "client": _often(draw, addresses)})
