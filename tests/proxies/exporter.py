"""Sends logs with OpenTelemetry's own SDK, as an app does: `exporter.py PROCESSOR URL COUNT`.

The exporter retries by itself, and the program ends once its records are delivered or given up.
"""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

kind, url, count = sys.argv[1:]
is_batch = kind == "batch"
exporter = OTLPLogExporter(
    endpoint=url,
    headers={"Authorization": "Bearer secret"},
    compression=Compression.Gzip if is_batch else Compression.NoCompression,
)
provider = LoggerProvider(
    resource=Resource({"service.name": "shop", "host.name": "web-1", "cloud.region": "sjc"})
)
provider.add_log_record_processor(
    BatchLogRecordProcessor(exporter, max_export_batch_size=7, schedule_delay_millis=10)
    if is_batch
    else SimpleLogRecordProcessor(exporter)
)
logger = provider.get_logger("checkout", "1.2")
span = trace.NonRecordingSpan(
    trace.SpanContext(
        int("0af7651916cd43dd8448eb211c80319c", 16), int("b7ad6b7169203331", 16), is_remote=False
    )
)
for number in range(int(count)):
    logger.emit(
        LogRecord(
            context=trace.set_span_in_context(span),
            severity_number=SeverityNumber.ERROR2,
            severity_text="ERROR",
            body=f"order {number} – café 日本",
            attributes={
                "order.id": number,
                "paid": False,
                "tags": ["a", "b"],
                "nested": {"total": 1.5},
            },
        )
    )
provider.force_flush()
provider.shutdown()
