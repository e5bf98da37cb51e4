"""The stack traces of the shop's apps, as their languages print them. Pure.

Fly makes one message of each physical line, so each line of a trace is a `Line` of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from natstream.demo.line import Line, Machine

__all__ = ["GO", "JAVA", "NODE", "PYTHON", "RUBY", "trace"]

PYTHON = """\
ERROR:worker.runner:SendReceipt failed, retry 1 of 5 in 30 s
Traceback (most recent call last):
  File "/app/worker/runner.py", line 88, in run
    result = job.perform(**job.arguments)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/app/worker/jobs/receipt.py", line 41, in perform
    pdf = render(order, template=self.template)
  File "/app/worker/jobs/receipt.py", line 19, in render
    raise TemplateError(f"no price for {line.sku!r}")
worker.errors.TemplateError: no price for 'pu-erh-1998'"""
NODE = """\
TypeError: Cannot read properties of undefined (reading 'price')
    at total (/app/src/cart.js:57:31)
    at Array.reduce (<anonymous>)
    at checkout (/app/src/routes/checkout.js:112:18)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)"""
RUBY = """\
/app/app/models/cart.rb:57:in 'Cart#total': undefined method 'price' for nil (NoMethodError)
\tfrom /app/app/models/cart.rb:31:in 'Cart#checkout'
\tfrom /app/app/controllers/checkout_controller.rb:18:in 'CheckoutController#create'
\tfrom /usr/local/bundle/gems/actionpack-8.0.1/lib/abstract_controller/base.rb:226:in 'process'"""
JAVA = """\
{now} ERROR 1 --- [nio-8080-exec-3] c.teashop.search.SearchController        : search failed
java.lang.IllegalStateException: index teas is read-only
\tat com.teashop.search.TeaIndex.refresh(TeaIndex.java:204)
\tat com.teashop.search.SearchController.search(SearchController.java:61)
\tat org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:885)
Caused by: java.nio.file.FileSystemException: /data/teas/_8.cfs: No space left on device
\tat java.base/sun.nio.fs.UnixException.translateToIOException(UnixException.java:100)
\t... 3 more"""
GO = """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x6b2f4a]

goroutine 42 [running]:
main.(*Gateway).Charge(0xc0001a6000, {0x7f31c8, 0xc00019c0f0})
\t/src/gateway.go:118 +0x8a
main.handlePay({0x7f3468, 0xc0001c20e0}, 0xc0001be140)
\t/src/main.go:64 +0x1d4
created by net/http.(*Server).Serve in goroutine 1
\t/usr/local/go/src/net/http/server.go:3285 +0x4b4"""


def trace(machine: Machine, text: str, kind: str) -> Iterator[Line]:
    """Yield the lines of a stack trace of one machine."""
    for line in text.split("\n"):
        yield Line(machine, line, kind=kind)
