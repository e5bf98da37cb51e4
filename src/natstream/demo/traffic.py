"""The logs of a small tea shop, as Fly would publish them: the demo's traffic. Pure.

In: a `random.Random`; the same seed, the same shop. Out: an endless iterator of lines, each with
its time in seconds from the start; `encode` makes a line the NATS message that Fly makes of it.

Every actor (visitors, workers, the database, a deploy, …) is a generator of what it says and of
the seconds that pass in between; `traffic` merges them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, NamedTuple

__all__ = ["LINES_PER_SECOND", "Line", "Machine", "encode", "traffic"]

LINES_PER_SECOND = 30.0
"""On average, at the shop's own pace."""


class Machine(NamedTuple):
    """A Fly machine."""

    app: str
    region: str
    id: str
    host: str


class Line(NamedTuple):
    """What one machine says; `{now}` in the message is the time."""

    machine: Machine
    message: str
    level: str = "info"
    provider: str = "app"
    extra: Mapping[str, Any] = {}
    """What Fly's proxy adds: `error`, `http` and `url`."""


Script = Iterator[Line | float]
"""An actor: its lines, and the seconds that pass between them."""


def encode(line: Line, unix_ns: int) -> tuple[str, bytes]:
    """The subject and the payload that Fly publishes for a line of that moment."""
    machine = line.machine
    seconds, fraction = divmod(unix_ns, 10**9)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09}Z"
    payload = {
        "event": {"provider": line.provider},
        "fly": {"app": {"instance": machine.id, "name": machine.app}, "region": machine.region},
        "host": machine.host,
        "log": {"level": line.level},
        "message": line.message.replace("{now}", now[:23] + "Z"),
        "timestamp": now,
        **line.extra,
    }
    subject = f"logs.{machine.app}.{machine.region}.{machine.id}"
    return subject, _json(payload).encode()


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def traffic(random: Random) -> Iterator[tuple[float, Line]]:
    """The shop's lines without end, in order, each with its time in seconds from the start."""
    waiting = [(0.0, number, actor) for number, actor in enumerate(_Shop(random).actors())]
    heapify(waiting)
    while True:
        at, number, actor = heappop(waiting)
        for step in actor:
            if isinstance(step, Line):
                yield at, step
            else:
                heappush(waiting, (at + step, number, actor))
                break


GREEN, YELLOW, RED, CYAN, DIM, RESET = (f"\x1b[{code}m" for code in (32, 33, 31, 36, 2, 0))

TEAS = ["assam", "darjeeling", "earl-grey", "genmaicha", "gyokuro", "lapsang", "pu-erh", "sencha"]
CUSTOMERS = ["Zoë", "Jürgen", "愛", "Søren", "Amélie", "Οδυσσέας", "Siobhán", "Łukasz", "مريم"]
PRAISE = [
    "★★★★★ Best cup since Kyoto 🍵",
    "★★★★☆ Sehr gut, nur die Dose klemmt",
    "★★★★★ とても美味しい！",
    "★★☆☆☆ Arrived as tea dust :(",
]
TRACEBACK = """\
Traceback (most recent call last):
  File "/app/worker/runner.py", line 88, in run
    result = job.perform(**job.arguments)
  File "/app/worker/jobs/receipt.py", line 41, in perform
    pdf = render(order, template=self.template)
  File "/app/worker/jobs/receipt.py", line 19, in render
    raise TemplateError(f"no price for {line.sku!r}")
worker.errors.TemplateError: no price for 'pu-erh-1998'"""
PANIC = """\
TypeError: Cannot read properties of undefined (reading 'price')
    at total (/app/src/cart.js:57:31)
    at Array.reduce (<anonymous>)
    at checkout (/app/src/routes/checkout.js:112:18)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)"""
SLOW_QUERY = (
    "SELECT o.id, o.total FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.customer_id = $1"
)
REFUSED = (
    "[PC01] instance refused connection. is your app listening on 0.0.0.0:8080? make sure it is "
    "not only listening on 127.0.0.1 (hint: look at your startup logs, servers often print the "
    "address they are listening on)"
)
NO_CANDIDATE = (
    "[PR04] could not find a good candidate within 21 attempts at load balancing. "
    "last error: [PC01] instance refused connection"
)
CLOSED_EARLY = (
    "[PU02] could not complete HTTP request to instance: connection closed before message completed"
)
FAILING = (
    "Health check 'servicecheck-00-http-8080' on port 8080 has failed. Your app is not responding "
    "properly. Services exposed on ports [80, 443] will have intermittent failures until the "
    "health check passes."
)
PASSING = "Health check 'servicecheck-00-http-8080' on port 8080 is now passing."


class _Shop:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.web = self.machines("teashop", "iad", "iad", "lhr")
        self.api = self.machines("teashop-api", "iad", "fra", "syd")
        self.worker = self.machines("teashop-worker", "iad", "iad")
        self.db = self.machines("teashop-db", "iad", "lhr")
        self.images = self.machines("teashop-images", "fra", "nrt")
        self.crowd = 1.0
        """How many times the usual number of visitors there are."""

    def actors(self) -> list[Script]:
        return [
            self.visitors(),
            self.orders(),
            self.jobs(),
            self.database(),
            self.sales(),
            self.deploys(),
            self.flapping(),
            self.scaling(),
            self.accidents(),
        ]

    def machines(self, app: str, *regions: str) -> list[Machine]:
        return [Machine(app, region, self.hex(14), self.hex(4)) for region in regions]

    def hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def pause(self, mean: float) -> float:
        """The time until the next of many independent events."""
        return self.random.expovariate(1 / mean)

    def latency(self, typical: float) -> float:
        """Milliseconds, most of them about typical, a few much longer."""
        return typical * self.random.lognormvariate(0, 0.6)

    # --- what the apps say -------------------------------------------------------------------

    def visitors(self) -> Script:
        """Requests, coloured as such loggers do."""
        random = self.random
        while True:
            yield self.pause(0.08 / self.crowd)
            tea = random.choice(TEAS)
            method, path = random.choices(
                [
                    ("GET", "/"),
                    ("GET", f"/teas/{tea}"),
                    ("GET", f"/search?q={tea}"),
                    ("POST", "/cart"),
                    ("GET", "/wp-login.php"),
                ],
                [4, 8, 3, 3, 0.3],
            )[0]
            status = random.choices([200, 304, 500], [90, 9 * (method == "GET"), 1])[0]
            if path == "/wp-login.php":
                status = 404
            colour = {200: GREEN, 304: CYAN, 404: YELLOW, 500: RED}[status]
            took = self.latency(18 * self.crowd)
            level = "error" if status == 500 else "warn" if status == 404 else "info"
            yield Line(
                random.choice(self.web),
                f"{method} {path} {colour}{status}{RESET} {took:.1f} ms {DIM}- "
                f"{random.randrange(200, 40_000)}{RESET}",
                level,
            )

    def orders(self) -> Script:
        """JSON lines: their fields are the app's own business."""
        random = self.random
        while True:
            yield self.pause(0.16 / self.crowd)
            tea, machine = random.choice(TEAS), random.choice(self.api)
            fields: dict[str, Any] = {"level": "info", "time": "{now}"}
            kind = random.choices(["order", "stock", "review", "payment"], [6, 5, 2, 1])[0]
            level = "info"
            if kind == "order":
                fields |= {"msg": "order placed", "order": f"T-{random.randrange(10_000, 99_999)}"}
                fields |= {"tea": tea, "customer": random.choice(CUSTOMERS)}
                fields |= {"total": f"€{random.randrange(400, 9_000) / 100:.2f}"}
            elif kind == "stock":
                fields |= {"msg": "stock checked", "tea": tea, "grams": random.randrange(0, 9_000)}
            elif kind == "review":
                fields |= {"msg": "review", "tea": tea, "text": random.choice(PRAISE)}
            else:
                level = fields["level"] = "warn"
                fields |= {"msg": "payment declined", "reason": "insufficient_funds"}
            fields["latency_ms"] = round(self.latency(35), 1)
            yield Line(machine, _json(fields), level)

    def jobs(self) -> Script:
        """A queue: started, and done or failed."""
        random = self.random
        while True:
            yield self.pause(0.5)
            machine, job = random.choice(self.worker), self.hex(6)
            name = random.choice(["SendReceipt", "ResizeImage", "SyncStock", "Newsletter"])
            yield Line(machine, f"[{job}] {name} started")
            yield self.latency(0.2)
            if random.random() < 0.04:
                yield Line(machine, TRACEBACK, "error")
                yield Line(machine, f"[{job}] {name} failed, retry 1 of 5 in 30 s", "warn")
            else:
                yield Line(machine, f"[{job}] {name} done in {self.latency(180):.0f} ms")

    def database(self) -> Script:
        """Postgres: checkpoints, vacuums, and now and then a slow query."""
        random = self.random
        primary, replica = self.db
        while True:
            yield self.pause(1.2)
            text = random.choices(
                [
                    "LOG:  checkpoint starting: time",
                    f"LOG:  checkpoint complete: wrote {random.randrange(20, 900)} buffers; "
                    f"write={random.uniform(1, 60):.3f} s, sync=0.004 s, total=60.311 s",
                    'LOG:  automatic vacuum of table "shop.public.carts": index scans: 1',
                    f"LOG:  duration: {self.latency(1_400):.3f} ms  statement: {SLOW_QUERY}",
                    'ERROR:  duplicate key value violates unique constraint "carts_pkey"',
                ],
                [3, 3, 3, 2, 0.6],
            )[0]
            level = "error" if text.startswith("ERROR") else "info"
            prefix = f"postgres | {{now}} [{random.randrange(300, 900)}] "
            yield Line(primary, prefix + text, level)
            if random.random() < 0.2:
                yield Line(replica, "repmgrd  | monitoring primary node, upstream is reachable")

    def sales(self) -> Script:
        """Now and then everybody comes at once."""
        while True:
            yield self.random.uniform(25, 50)
            yield Line(self.api[0], '{"level":"info","msg":"flash sale opens 🎉","discount":0.3}')
            self.crowd = 5.0
            yield self.random.uniform(3, 5)
            self.crowd = 1.0

    # --- what the platform says --------------------------------------------------------------

    def deploys(self) -> Script:
        """A new version, machine by machine."""
        yield 6.0
        while True:
            app = self.random.choice([self.web, self.api, self.worker])
            image = f"registry.fly.io/{app[0].app}:deployment-01J{self.hex(12).upper()}"
            for machine in app:
                yield from self.restart(machine, image)
                yield self.random.uniform(0.5, 1.5)
            yield self.random.uniform(30, 60)

    def restart(self, machine: Machine, image: str) -> Script:
        """What one machine goes through when it is given a new image."""
        random = self.random
        yield Line(machine, f"Pulling container image {image}", provider="runner")
        yield random.uniform(0.5, 1.5)
        took = random.uniform(1, 4)
        yield Line(machine, f"Successfully prepared image {image} ({took:.3f}s)", provider="runner")
        yield Line(machine, " INFO Sending signal SIGINT to main child process w/ PID 318")
        yield 0.4
        yield Line(machine, "shutting down: 3 requests in flight")
        yield 0.6
        yield Line(machine, " INFO Main child exited normally with code: 0")
        yield Line(machine, " INFO Starting clean up.")
        yield Line(machine, f"[{random.uniform(900, 9_000):12.6f}] reboot: Restarting system")
        yield Line(machine, "machine exited with exit code 0, not restarting", provider="runner")
        yield 0.5
        yield Line(machine, "Configuring firecracker", provider="runner")
        yield random.uniform(0.5, 1.0)
        yield Line(machine, " INFO Starting init (commit: 676c820)...")
        command = "python -m worker" if machine in self.worker else "node server.js"
        yield Line(machine, f" INFO Preparing to run: `{command}` as app")
        yield Line(
            machine, f"Machine started in {random.uniform(0.8, 2.5):.3f}s", provider="runner"
        )
        yield 0.3
        yield Line(machine, f"{GREEN}✓{RESET} Ready: listening on 0.0.0.0:8080")
        yield random.uniform(0.5, 1.5)
        yield Line(machine, PASSING, provider="health")

    def flapping(self) -> Script:
        """A machine that fails its health check, and what visitors get of it meanwhile."""
        random = self.random
        while True:
            yield random.uniform(15, 35)
            machine = random.choice(self.web)
            yield Line(machine, FAILING, "error", "health")
            for _ in range(random.randrange(2, 5)):
                yield self.pause(0.6)
                yield self.proxy_error(machine, REFUSED, 2001)
            if random.random() < 0.4:
                yield self.proxy_error(machine, NO_CANDIDATE, 1104)
            yield random.uniform(1, 3)
            yield Line(machine, PASSING, provider="health")

    def proxy_error(self, machine: Machine, message: str, code: int) -> Line:
        request = {
            "id": f"01J{self.hex(13).upper()}-{machine.region}",
            "method": "GET",
            "version": "h2",
        }
        extra = {
            "error": {"code": code, "message": message.partition("] ")[2]},
            "http": {"request": request, "response": {"status_code": 502}},
            "url": {"full": f"https://{machine.app}.fly.dev/teas/{self.random.choice(TEAS)}"},
        }
        return Line(machine, message, "error", "proxy", extra)

    def scaling(self) -> Script:
        """The image service stops when nobody needs it, and starts when somebody does."""
        random = self.random
        while True:
            yield self.pause(9)
            machine = random.choice(self.images)
            yield Line(machine, "Starting machine", provider="proxy")
            yield random.uniform(0.3, 0.6)
            took = random.uniform(300, 600)
            yield Line(machine, f"machine started in {took:.6f}ms", provider="proxy")
            yield Line(
                machine,
                f"machine became reachable in {random.uniform(5, 90):.6f}ms",
                provider="proxy",
            )
            for _ in range(random.randrange(3, 9)):
                yield self.pause(0.4)
                size = random.choice(["320×240", "640×480", "1280×960"])
                yield Line(
                    machine, f"{random.choice(TEAS)}.webp → {size} in {self.latency(90):.0f} ms"
                )
            yield random.uniform(2, 4)
            yield Line(
                machine,
                f"App {machine.app} has excess capacity, autostopping machine {machine.id}. "
                f"0 out of 1 machines left running (region={machine.region}, process group=app)",
                provider="proxy",
            )

    def accidents(self) -> Script:
        """What wakes somebody up: a crash, an exhausted memory."""
        random = self.random
        yield 4.0
        while True:
            if random.random() < 0.5:
                machine = random.choice(self.web)
                yield Line(machine, PANIC, "error")
                yield self.proxy_error(machine, CLOSED_EARLY, 2003)
            else:
                machine = random.choice(self.worker)
                yield Line(machine, "memory is at 93 % of 512 MB", "warn")
                yield 1.2
                yield Line(
                    machine, "Out of memory: Killed process 318 (python) anon-rss:487316kB", "error"
                )
                yield Line(machine, "Process appears to have been OOM killed!", "error", "runner")
                yield Line(
                    machine, "machine exited with exit code 137, restarting", "warn", "runner"
                )
                yield 1.5
                yield Line(machine, f"{GREEN}worker ready{RESET}, 4 threads, queues: default, mail")
            yield random.uniform(12, 30)
