"""A failure as Flink serialises it, so that a real Flink can read hawork's failed results.

Source: ``org.apache.flink.util.SerializedThrowable`` of Flink 1.20.5, around a
``java.lang.RuntimeException`` without stack trace. Only the texts in it are our own; nothing
is ever deserialised here.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode

_HEAD = b64decode(
    "rO0ABXNyAClvcmcuYXBhY2hlLmZsaW5rLnV0aWwuU2VyaWFsaXplZFRocm93YWJsZWUWnfUfpxPzAgADTAAZZnVs"
    "bFN0cmluZ2lmaWVkU3RhY2tUcmFjZXQAEkxqYXZhL2xhbmcvU3RyaW5nO0wAFm9yaWdpbmFsRXJyb3JDbGFzc05h"
    "bWVxAH4AAVsAE3NlcmlhbGl6ZWRFeGNlcHRpb250AAJbQnhyABNqYXZhLmxhbmcuRXhjZXB0aW9u0P0fPho7HMQC"
    "AAB4cgATamF2YS5sYW5nLlRocm93YWJsZdXGNSc5d7jLAwAETAAFY2F1c2V0ABVMamF2YS9sYW5nL1Rocm93YWJs"
    "ZTtMAA1kZXRhaWxNZXNzYWdlcQB+AAFbAApzdGFja1RyYWNldAAeW0xqYXZhL2xhbmcvU3RhY2tUcmFjZUVsZW1l"
    "bnQ7TAAUc3VwcHJlc3NlZEV4Y2VwdGlvbnN0ABBMamF2YS91dGlsL0xpc3Q7eHBw"
)
_BEFORE_STACK_TRACE = b64decode(
    "dXIAHltMamF2YS5sYW5nLlN0YWNrVHJhY2VFbGVtZW50OwJGKjw8/SI5AgAAeHAAAAAAc3IAH2phdmEudXRpbC5D"
    "b2xsZWN0aW9ucyRFbXB0eUxpc3R6uBe0PKee3gIAAHhweA=="
)
_BEFORE_EXCEPTION = b64decode("dXIAAltCrPMX+AYIVOACAAB4cA==")
_EXCEPTION_HEAD = b64decode(
    "rO0ABXNyABpqYXZhLmxhbmcuUnVudGltZUV4Y2VwdGlvbp5fBkcKNIPlAgAAeHIAE2phdmEubGFuZy5FeGNlcHRp"
    "b27Q/R8+GjscxAIAAHhyABNqYXZhLmxhbmcuVGhyb3dhYmxl1cY1Jzl3uMsDAARMAAVjYXVzZXQAFUxqYXZhL2xh"
    "bmcvVGhyb3dhYmxlO0wADWRldGFpbE1lc3NhZ2V0ABJMamF2YS9sYW5nL1N0cmluZztbAApzdGFja1RyYWNldAAe"
    "W0xqYXZhL2xhbmcvU3RhY2tUcmFjZUVsZW1lbnQ7TAAUc3VwcHJlc3NlZEV4Y2VwdGlvbnN0ABBMamF2YS91dGls"
    "L0xpc3Q7eHBxAH4ABw=="
)
_EXCEPTION_TAIL = b64decode(
    "dXIAHltMamF2YS5sYW5nLlN0YWNrVHJhY2VFbGVtZW50OwJGKjw8/SI5AgAAeHAAAAAAc3IAH2phdmEudXRpbC5D"
    "b2xsZWN0aW9ucyRFbXB0eUxpc3R6uBe0PKee3gIAAHhweA=="
)


def failure_cause(
    message: str, stack_trace: str = "", class_name: str = "java.lang.RuntimeException"
) -> dict[str, str]:
    """The ``failure-cause`` of a job result that failed with ``message``.

    ``stack_trace`` may hold more lines about it, such as a Python traceback.
    """
    detail = f"{class_name}: {message}"
    full = f"{detail}\n{stack_trace}"
    exception = _EXCEPTION_HEAD + _string(message) + _EXCEPTION_TAIL
    serialized = b"".join(
        (
            _HEAD,
            _string(detail),
            _BEFORE_STACK_TRACE,
            _string(full),
            _string(class_name),
            _BEFORE_EXCEPTION,
            struct.pack(">I", len(exception)),
            exception,
        )
    )
    return {
        "class": class_name,
        "stack-trace": full,
        "serialized-throwable": b64encode(serialized).decode(),
    }


def _string(text: str) -> bytes:
    """TC_STRING, or TC_LONGSTRING beyond 65,535 bytes, in Java's modified UTF-8."""
    units = text.encode("utf-16-be", "surrogatepass")
    data = b"".join(
        chr(unit).encode("utf-8", "surrogatepass") if unit else b"\xc0\x80"
        for (unit,) in struct.iter_unpack(">H", units)
    )
    if len(data) > 0xFFFF:
        return struct.pack(">BQ", 0x7C, len(data)) + data
    return struct.pack(">BH", 0x74, len(data)) + data
