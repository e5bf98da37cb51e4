"""The lines that the apps of the shop write, each as logging libraries of its language do. Pure.

Each function is an actor: it yields lines, and the seconds that pass between them.
"""

from __future__ import annotations

from typing import Any

from natstream.demo.line import Line, Script, to_json
from natstream.demo.shop import TEAS, Shop
from natstream.demo.traces import JAVA, NODE, PYTHON, trace

__all__ = ["APPS"]

CUSTOMERS = ["Zoë", "Jürgen", "愛", "Søren", "Amélie", "Οδυσσέας", "Siobhán", "Łukasz", "مريم"]
PRAISE = [
    "★★★★★ Best cup since Kyoto 🍵",
    "★★★★☆ Sehr gut, nur die Dose klemmt",
    "★★★★★ とても美味しい！",
    "★★☆☆☆ Arrived as tea dust :(",
]
SLOW_QUERY = (
    "SELECT o.id, o.total FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.customer_id = $1"
)


def visitors(shop: Shop) -> Script:
    """Yield requests to the web app, as Rails logs them with one line for each request."""
    random = shop.random
    while True:
        yield shop.pause(0.1 / shop.crowd)
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
        took = shop.latency(18 * shop.crowd)
        letter, level = ("E", "ERROR") if status == 500 else ("I", " INFO")
        yield Line(
            random.choice(shop.web),
            f"{letter}, [{{now}} #7] {level} -- : [{shop.hex(8)}] method={method} path={path} "
            f"format=html status={status} duration={took:.2f} view={took * 0.6:.2f}",
            kind=f"{method} answered with {status}",
        )


def orders(shop: Shop) -> Script:
    """Yield JSON lines as pino writes them, with fields that only this app has."""
    random = shop.random
    while True:
        yield shop.pause(0.16 / shop.crowd)
        tea, machine = random.choice(TEAS), random.choice(shop.api)
        fields: dict[str, Any] = {"level": 30, "time": "{now}", "pid": 7, "hostname": machine.id}
        is_broken = machine.id in shop.broken
        kind = random.choices(
            ["order", "stock", "review", "payment", "coupon", "price"],
            [6, 5, 2, 1, 2.2 if is_broken else 0.5, 1 if is_broken else 0],
        )[0]
        if kind == "order":
            fields |= {"msg": "order placed", "order": f"T-{random.randrange(10_000, 99_999)}"}
            fields |= {"tea": tea, "customer": random.choice(CUSTOMERS)}
            fields |= {"total": f"€{random.randrange(400, 9_000) / 100:.2f}"}
        elif kind == "stock":
            fields |= {"msg": "stock checked", "tea": tea, "grams": random.randrange(0, 9_000)}
        elif kind == "review":
            fields |= {"msg": "review", "tea": tea, "text": random.choice(PRAISE)}
        elif kind == "payment":
            fields |= {"level": 40, "msg": "payment declined", "reason": "insufficient_funds"}
        elif kind == "coupon":
            fields |= {"level": 50, "msg": "coupon service timed out", "coupon": shop.hex(6)}
        else:
            fields |= {"level": 50, "msg": "price is not a number", "tea": tea}
            fields |= {"err": {"type": "TypeError", "message": "price.toFixed is not a function"}}
        fields["latency_ms"] = round(shop.latency(35), 1)
        yield Line(machine, to_json(fields), kind=kind)
        if random.random() < 0.004:
            yield from trace(machine, NODE, "undefined price")


def jobs(shop: Shop) -> Script:
    """Yield the jobs of a queue, which come by HTTP and are logged by uvicorn and Python."""
    random = shop.random
    while True:
        yield shop.pause(0.5)
        machine, job = random.choice(shop.worker), shop.hex(6)
        name = random.choice(["SendReceipt", "ResizeImage", "SyncStock", "Newsletter"])
        address = f"10.0.0.{random.randrange(2, 250)}:{random.randrange(30_000, 60_000)}"
        yield Line(
            machine,
            f'INFO:     {address} - "POST /jobs/{name} HTTP/1.1" 202 Accepted',
            kind=f"{name} accepted",
        )
        yield shop.latency(0.2)
        if random.random() < 0.02:
            yield from trace(machine, PYTHON, "no price for a receipt")
        else:
            took = f"{shop.latency(180):.0f}"
            done = f"INFO:worker.runner:{name} done job={job} took_ms={took}"
            yield Line(machine, done, kind=f"{name} done")


def search(shop: Shop) -> Script:
    """Yield the lines of a Java service, as Spring Boot prints them."""
    random = shop.random
    while True:
        yield shop.pause(0.8)
        machine = random.choice(shop.search)
        thread = f"[nio-8080-exec-{random.randrange(1, 9)}]"
        if random.random() < 0.02:
            yield from trace(machine, JAVA, "search failed")
            continue
        level, text, kind = random.choices(
            [
                (" INFO", f"query={random.choice(TEAS)} hits={random.randrange(40)}", "query"),
                (" INFO", f"refreshed teas in {shop.latency(40):.0f} ms", "refreshed"),
                (" WARN", "slow query, the cache is cold", "slow query"),
            ],
            [8, 2, 0.4],
        )[0]
        yield Line(
            machine,
            f"{{now}} {level} 1 --- {thread} c.teashop.search.SearchController        : {text}",
            kind=kind,
        )


def payments(shop: Shop) -> Script:
    """Yield the lines of a Go service, as the text handler of slog prints them."""
    random = shop.random
    while True:
        yield shop.pause(0.9)
        status = random.choices([200, 402, 502], [90, 6, 2])[0]
        level, text = {200: ("INFO", "charged"), 402: ("WARN", "declined")}.get(
            status, ("ERROR", "the bank does not answer")
        )
        yield Line(
            shop.pay[0],
            f'time={{now}} level={level} msg="{text}" order=T-{random.randrange(10_000, 99_999)} '
            f"status={status} took={shop.latency(240):.1f}ms",
            kind=text,
        )


def database(shop: Shop) -> Script:
    """Yield the log of Postgres: checkpoints, vacuums, and sometimes a slow query."""
    random = shop.random
    primary, replica = shop.db
    while True:
        yield shop.pause(1.2)
        kind, text = random.choices(
            [
                ("checkpoint starting", "LOG:  checkpoint starting: time"),
                (
                    "checkpoint complete",
                    f"LOG:  checkpoint complete: wrote {random.randrange(20, 900)} buffers; "
                    f"write={random.uniform(1, 60):.3f} s, sync=0.004 s, total=60.311 s",
                ),
                (
                    "vacuum",
                    'LOG:  automatic vacuum of table "shop.public.carts": index scans: 1',
                ),
                (
                    "slow statement",
                    f"LOG:  duration: {shop.latency(1_400):.3f} ms  statement: {SLOW_QUERY}",
                ),
                (
                    "duplicate key",
                    'ERROR:  duplicate key value violates unique constraint "carts_pkey"',
                ),
            ],
            [3, 3, 3, 2, 0.6],
        )[0]
        prefix = f"postgres | {{now}} [{random.randrange(300, 900)}] "
        yield Line(primary, prefix + text, kind=kind)
        if random.random() < 0.2:
            watched = "repmgrd  | monitoring primary node, upstream is reachable"
            yield Line(replica, watched, kind="monitoring")


def sales(shop: Shop) -> Script:
    """Yield flash sales, during which the shop has five times as many visitors."""
    while True:
        yield shop.random.uniform(25, 50)
        if shop.broken:
            continue  # so that what the deploy broke stands out
        opened = {"level": 30, "time": "{now}", "msg": "flash sale opens 🎉", "discount": 0.3}
        yield Line(shop.api[0], to_json(opened), kind="flash sale")
        shop.crowd = 5.0
        yield shop.random.uniform(3, 5)
        shop.crowd = 1.0


APPS = (visitors, orders, jobs, search, payments, database, sales)
"""The actors of this module."""
