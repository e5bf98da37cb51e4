"""The drain's answers to OpenTelemetry's exporters. Pure.

In: the result of a body, or an answer for any sender. Out: the answer in the form that the protocol
wants (https://opentelemetry.io/docs/specs/otlp/#otlphttp-response): in the encoding of the request,
with the number of rejected records, and an error as a `Status`, whose message the Collector logs.
"""

from __future__ import annotations

import attrs

from natstream.drain.answers import json_answer
from natstream.drain.forms import Form
from natstream.drain.http1 import Answer
from natstream.drain.otlp_protobuf import partial_success
from natstream.drain.parsed import ParsedBody, reasons_of

__all__ = ["as_status", "otlp_receipt"]

_PROTOBUF = b"application/x-protobuf"
# The key of field 2 of google.rpc.Status, which is its message.
_STATUS_MESSAGE = b"\x12"


def otlp_receipt(form: Form, parsed: ParsedBody) -> Answer:
    """Return the answer to a body that was taken, perhaps in part."""
    rejected = sum(parsed.dropped.values())
    sentence = ""
    if rejected:
        records = "record was" if rejected == 1 else "records were"
        sentence = f"{rejected:,} {records} dropped: {reasons_of(parsed.dropped)}. {parsed.fault}"
    if form is Form.OTLP_PROTOBUF:
        # An empty message says that all was taken.
        body = partial_success(rejected, sentence) if rejected else b""
        return Answer(200, body, content_type=_PROTOBUF)
    if not rejected:
        return json_answer(200, {})
    partial = {"rejectedLogRecords": str(rejected), "errorMessage": sentence}
    return json_answer(200, {"partialSuccess": partial})


def as_status(form: Form, answer: Answer) -> Answer:
    """Return an answer that refuses a request, as its sender reads it; another one unchanged."""
    # A drain without the extra does not speak protobuf, and its 415 is for a person.
    if not answer.error or not form.is_otlp or answer.status == 415:
        return answer
    if form is Form.OTLP_JSON:
        status = {"error": answer.error, "message": answer.error}
        return attrs.evolve(answer, body=json_answer(answer.status, status).body)
    message = answer.error.encode()
    body = _STATUS_MESSAGE + _varint(len(message)) + message
    return attrs.evolve(answer, body=body, content_type=_PROTOBUF)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes((*digits, number))
