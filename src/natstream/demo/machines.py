"""The lines that Fly writes about machines: deploys, health checks, scaling and crashes. Pure.

Each function that takes only the shop is an actor: it yields lines, and the seconds that pass
between them.
"""

from __future__ import annotations

from natstream.demo.line import Line, Machine, Script
from natstream.demo.shop import GREEN, RESET, TEAS, Shop
from natstream.demo.traces import GO, JAVA, RUBY, trace

__all__ = ["MACHINES", "STARTS_INIT"]

STARTS_INIT = "init"
"""The kind of the first line that a machine writes with a new image."""
SIGNAL = " INFO Sending signal SIGINT to main child process w/ PID 318"
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


def deploys(shop: Shop) -> Script:
    """Yield deploys: the machines of an app restart one after the other with a new image."""
    yield 6.0
    app = shop.random.choice([shop.web, shop.worker])
    while True:
        image = f"registry.fly.io/{app[0].app}:deployment-01J{shop.hex(12).upper()}"
        # A release of the API has a mistake, which the next one mends.
        is_broken = app is shop.api and not shop.broken
        for machine in app:
            yield from restart(shop, machine, image, is_broken=is_broken)
            yield shop.random.uniform(0.5, 1.5)
        yield shop.random.uniform(30, 60)
        if is_broken:
            yield 40.0  # so that what it broke can be seen alone
        choices = [each for each in (shop.web, shop.api, shop.worker) if each is not app]
        # There is always something to see within two minutes.
        app = shop.api if shop.api in choices else shop.random.choice(choices)


def restart(shop: Shop, machine: Machine, image: str, *, is_broken: bool) -> Script:
    """Yield the lines of one machine that restarts with a new image."""
    random = shop.random

    def runner(message: str, kind: str) -> Line:
        return Line(machine, message, provider="runner", kind=kind)

    yield runner(f"Pulling container image {image}", "pulling")
    yield random.uniform(0.5, 1.5)
    took = random.uniform(1, 4)
    yield runner(f"Successfully prepared image {image} ({took:.3f}s)", "prepared")
    yield Line(machine, SIGNAL, kind="signal")
    yield 0.4
    yield Line(machine, "shutting down: 3 requests in flight", kind="shutting down")
    yield 0.6
    yield Line(machine, " INFO Main child exited normally with code: 0", kind="child exited")
    yield Line(machine, " INFO Starting clean up.", kind="clean up")
    rebooted = f"[{random.uniform(900, 9_000):12.6f}] reboot: Restarting system"
    yield Line(machine, rebooted, kind="reboot")
    yield runner("machine exited with exit code 0, not restarting", "exited")
    yield 0.5
    yield runner("Configuring firecracker", "configuring")
    yield random.uniform(0.5, 1.0)
    yield Line(machine, " INFO Starting init (commit: 676c820)...", kind=STARTS_INIT)
    (shop.broken.add if is_broken else shop.broken.discard)(machine.id)
    command = "bin/rails server"
    if machine in shop.worker:
        command = "uvicorn worker:app"
    elif machine in shop.api:
        command = "node server.js"
    yield Line(machine, f" INFO Preparing to run: `{command}` as app", kind="preparing to run")
    yield runner(f"Machine started in {random.uniform(0.8, 2.5):.3f}s", "started")
    yield 0.3
    yield Line(machine, f"{GREEN}✓{RESET} Ready: listening on 0.0.0.0:8080", kind="ready")
    yield random.uniform(0.5, 1.5)
    yield Line(machine, PASSING, provider="health", kind="passing")


def flapping(shop: Shop) -> Script:
    """Yield failing health checks of a machine, and the proxy's errors until it works again."""
    random = shop.random
    while True:
        yield random.uniform(15, 35)
        machine = random.choice(shop.web)
        yield Line(machine, FAILING, level="error", provider="health", kind="failing")
        for _ in range(random.randrange(2, 5)):
            yield shop.pause(0.6)
            yield proxy_error(shop, machine, REFUSED, 2001)
        if random.random() < 0.4:
            yield proxy_error(shop, machine, NO_CANDIDATE, 1104)
        yield random.uniform(1, 3)
        yield Line(machine, PASSING, provider="health", kind="passing")


def proxy_error(shop: Shop, machine: Machine, message: str, code: int) -> Line:
    """Return an error line of Fly's proxy about a machine."""
    request = {
        "id": f"01J{shop.hex(13).upper()}-{machine.region}",
        "method": "GET",
        "version": "h2",
    }
    extra = {
        "error": {"code": code, "message": message.partition("] ")[2]},
        "http": {"request": request, "response": {"status_code": 502}},
        "url": {"full": f"https://{machine.app}.fly.dev/teas/{shop.random.choice(TEAS)}"},
    }
    kind = f"proxy error {code}"
    return Line(machine, message, level="error", provider="proxy", extra=extra, kind=kind)


def scaling(shop: Shop) -> Script:
    """Yield starts and stops of the image service, which runs only while it gets requests."""
    random = shop.random
    while True:
        yield shop.pause(9)
        machine = random.choice(shop.images)
        yield Line(machine, "Starting machine", provider="proxy", kind="starting")
        yield random.uniform(0.3, 0.6)
        took = random.uniform(300, 600)
        started = f"machine started in {took:.6f}ms"
        yield Line(machine, started, provider="proxy", kind="started by the proxy")
        yield Line(
            machine,
            f"machine became reachable in {random.uniform(5, 90):.6f}ms",
            provider="proxy",
            kind="reachable",
        )
        for _ in range(random.randrange(3, 9)):
            yield shop.pause(0.4)
            size = random.choice(["320×240", "640×480", "1280×960"])
            yield Line(
                machine,
                f"level=info msg=resized image={random.choice(TEAS)}.webp size={size} "
                f"took_ms={shop.latency(90):.0f}",
                kind="resized",
            )
        yield random.uniform(2, 4)
        yield Line(
            machine,
            f"App {machine.app} has excess capacity, autostopping machine {machine.id}. "
            f"0 out of 1 machines left running (region={machine.region}, process group=app)",
            provider="proxy",
            kind="autostopping",
        )


def accidents(shop: Shop) -> Script:
    """Yield serious accidents: a crash of an app, and a worker that runs out of memory."""
    random = shop.random
    yield 4.0
    while True:
        if random.random() < 0.5:
            machine, text, kind = random.choice(
                [
                    (shop.web[0], RUBY, "no method"),
                    (shop.pay[0], GO, "panic"),
                    (shop.search[0], JAVA, "search failed"),
                ]
            )
            yield from trace(machine, text, kind)
            yield proxy_error(shop, machine, CLOSED_EARLY, 2003)
        else:
            machine = random.choice(shop.worker)
            nearly = "WARNING:worker.memory:memory is at 93 % of 512 MB"
            yield Line(machine, nearly, kind="memory is low")
            yield 1.2
            killed = "Out of memory: Killed process 318 (python) anon-rss:487316kB"
            yield Line(machine, killed, kind="out of memory")
            yield Line(
                machine,
                "Process appears to have been OOM killed!",
                level="error",
                provider="runner",
                kind="killed",
            )
            yield Line(
                machine,
                "machine exited with exit code 137, restarting",
                level="warn",
                provider="runner",
                kind="exited and restarting",
            )
            yield 1.5
            ready = f"{GREEN}worker ready{RESET}, 4 threads, queues: default, mail"
            yield Line(machine, ready, kind="worker ready")
        yield random.uniform(12, 30)


MACHINES = (deploys, flapping, scaling, accidents)
"""The actors of this module."""
