"""The lines that the apps of the shop write: requests, orders, jobs and the database. Pure.

Each function is an actor: it yields lines, and the seconds that pass between them.
"""

from __future__ import annotations

from typing import Any

from natstream.demo.line import Line, Script, to_json
from natstream.demo.shop import CYAN, DIM, GREEN, RED, RESET, TEAS, YELLOW, Shop

__all__ = ["APPS"]

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
SLOW_QUERY = (
    "SELECT o.id, o.total FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.customer_id = $1"
)


def visitors(shop: Shop) -> Script:
    """Yield requests, coloured as many request loggers colour them."""
    random = shop.random
    while True:
        yield shop.pause(0.08 / shop.crowd)
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
        took = shop.latency(18 * shop.crowd)
        level = "error" if status == 500 else "warn" if status == 404 else "info"
        yield Line(
            random.choice(shop.web),
            f"{method} {path} {colour}{status}{RESET} {took:.1f} ms {DIM}- "
            f"{random.randrange(200, 40_000)}{RESET}",
            level=level,
        )


def orders(shop: Shop) -> Script:
    """Yield JSON lines with fields that only this app has."""
    random = shop.random
    while True:
        yield shop.pause(0.16 / shop.crowd)
        tea, machine = random.choice(TEAS), random.choice(shop.api)
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
        fields["latency_ms"] = round(shop.latency(35), 1)
        yield Line(machine, to_json(fields), level=level)


def jobs(shop: Shop) -> Script:
    """Yield the jobs of a queue: each starts, and then succeeds or fails."""
    random = shop.random
    while True:
        yield shop.pause(0.5)
        machine, job = random.choice(shop.worker), shop.hex(6)
        name = random.choice(["SendReceipt", "ResizeImage", "SyncStock", "Newsletter"])
        yield Line(machine, f"[{job}] {name} started")
        yield shop.latency(0.2)
        if random.random() < 0.04:
            yield Line(machine, TRACEBACK, level="error")
            yield Line(machine, f"[{job}] {name} failed, retry 1 of 5 in 30 s", level="warn")
        else:
            yield Line(machine, f"[{job}] {name} done in {shop.latency(180):.0f} ms")


def database(shop: Shop) -> Script:
    """Yield the log of Postgres: checkpoints, vacuums, and sometimes a slow query."""
    random = shop.random
    primary, replica = shop.db
    while True:
        yield shop.pause(1.2)
        text = random.choices(
            [
                "LOG:  checkpoint starting: time",
                f"LOG:  checkpoint complete: wrote {random.randrange(20, 900)} buffers; "
                f"write={random.uniform(1, 60):.3f} s, sync=0.004 s, total=60.311 s",
                'LOG:  automatic vacuum of table "shop.public.carts": index scans: 1',
                f"LOG:  duration: {shop.latency(1_400):.3f} ms  statement: {SLOW_QUERY}",
                'ERROR:  duplicate key value violates unique constraint "carts_pkey"',
            ],
            [3, 3, 3, 2, 0.6],
        )[0]
        level = "error" if text.startswith("ERROR") else "info"
        prefix = f"postgres | {{now}} [{random.randrange(300, 900)}] "
        yield Line(primary, prefix + text, level=level)
        if random.random() < 0.2:
            yield Line(replica, "repmgrd  | monitoring primary node, upstream is reachable")


def sales(shop: Shop) -> Script:
    """Yield flash sales, during which the shop has five times as many visitors."""
    while True:
        yield shop.random.uniform(25, 50)
        yield Line(shop.api[0], '{"level":"info","msg":"flash sale opens 🎉","discount":0.3}')
        shop.crowd = 5.0
        yield shop.random.uniform(3, 5)
        shop.crowd = 1.0


APPS = (visitors, orders, jobs, database, sales)
"""The actors of this module."""
