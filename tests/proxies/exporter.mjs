// Sends logs with OpenTelemetry's own SDK, as an app does: `exporter.mjs ENCODING PROCESSOR URL COUNT`.
// The exporter retries by itself, and the program ends once its records are delivered or given up.

import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter as Json } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as Protobuf } from '@opentelemetry/exporter-logs-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchLogRecordProcessor,
  LoggerProvider,
  SimpleLogRecordProcessor,
} from '@opentelemetry/sdk-logs';
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';

const [encoding, kind, url, count] = process.argv.slice(2);
const Exporter = encoding === 'json' ? Json : Protobuf;
const exporter = new Exporter({
  url,
  headers: { Authorization: 'Bearer secret' },
  compression: kind === 'batch' ? 'gzip' : 'none',
});
const processor =
  kind === 'batch'
    ? new BatchLogRecordProcessor({ exporter, maxExportBatchSize: 7, scheduledDelayMillis: 10 })
    : new SimpleLogRecordProcessor({ exporter });
const provider = new LoggerProvider({
  resource: resourceFromAttributes({
    'service.name': 'shop',
    'host.name': 'web-1',
    'cloud.region': 'sjc',
  }),
  processors: [processor],
});
const logger = provider.getLogger('checkout', '1.2');
const context = trace.setSpanContext(ROOT_CONTEXT, {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  traceFlags: 1,
});
for (let number = 0; number < Number(count); number++) {
  logger.emit({
    severityNumber: SeverityNumber.ERROR2,
    severityText: 'ERROR',
    body: `order ${number} – café 日本`,
    attributes: { 'order.id': number, paid: false, tags: ['a', 'b'], nested: { total: 1.5 } },
    context,
  });
}
await provider.forceFlush();
await provider.shutdown();
