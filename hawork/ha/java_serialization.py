"""The Java serialisation that Flink 1.20 keeps in its HA stores, byte for byte.

Leader information is read and written (``ZooKeeperUtils.writeLeaderInformationToZooKeeper``:
``writeUTF(address)``, then ``writeObject(java.util.UUID)``); pointers to Flink's own state
(``RetrievableStreamStateHandle``) are read. This is pattern matching on bytes: no class is
looked up and nothing is executed.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from uuid import UUID

from hawork.core.errors import CorruptStateError, LeaderRetrievalError
from hawork.core.types import LeaderInformation

__all__ = [
    "FlinkStateHandle",
    "decode_leader_information",
    "decode_marked_state_handle",
    "decode_modified_utf8",
    "decode_state_handle",
    "encode_leader_information",
    "encode_modified_utf8",
    "encode_state_handle",
]

_STREAM_HEADER = bytes.fromhex("aced0005")
_TC_BLOCKDATA = 0x77
_TC_BLOCKDATALONG = 0x7A
_BLOCK = 1024  # Java's ObjectOutputStream buffers primitive data in blocks of this size
_UUID_OBJECT = (
    b"sr\x00\x0ejava.util.UUID"
    + bytes.fromhex("bc9903f7986d852f")  # serialVersionUID
    + b"\x02\x00\x02J\x00\x0cleastSigBitsJ\x00\x0bmostSigBitsxp"
)


def encode_leader_information(information: LeaderInformation) -> bytes:
    """Flink's bytes. ``LeaderRetrievalError`` for an address longer than Java's 65535 bytes."""
    text = encode_modified_utf8(information.address)
    if len(text) > 0xFFFF:
        raise LeaderRetrievalError(
            f"the address {information.address[:60]}... takes {len(text)} bytes: "
            "Flink's format holds 65535, use a shorter one"
        )
    data = struct.pack(">H", len(text)) + text
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    number = information.session_id.int
    halves = struct.pack(">QQ", number & (2**64 - 1), number >> 64)  # least significant first
    return _STREAM_HEADER + b"".join(map(_block, blocks)) + _UUID_OBJECT + halves


def decode_leader_information(data: bytes) -> LeaderInformation | None:
    """What ``data`` says; ``None`` when it is empty, which means that there is no leader.

    Accepts every form of blocks and, like Flink, bytes after the object.
    ``LeaderRetrievalError`` says what is wrong with anything else.

    >>> information = LeaderInformation(UUID(int=7), "http://127.0.0.1:8081")
    >>> decode_leader_information(encode_leader_information(information)) == information
    True
    """
    if not data:
        return None
    try:
        return _decode(data)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise _foreign(data, "it ends too early or is not text") from None


def _decode(data: bytes) -> LeaderInformation:
    if not data.startswith(_STREAM_HEADER):
        raise _foreign(data, "it does not begin like a Java object stream")
    primitive, offset = _read_blocks(data, len(_STREAM_HEADER))
    (length,) = struct.unpack_from(">H", primitive)
    if len(primitive) != 2 + length:
        raise _foreign(data, "the address is not as long as it says")
    if data[offset : offset + len(_UUID_OBJECT)] != _UUID_OBJECT:
        raise _foreign(data, "no java.util.UUID follows the address")
    least, most = struct.unpack_from(">QQ", data, offset + len(_UUID_OBJECT))
    return LeaderInformation(UUID(int=most << 64 | least), decode_modified_utf8(primitive[2:]))


def _read_blocks(data: bytes, offset: int) -> tuple[bytes, int]:
    """The primitive data of consecutive blocks, and where they end."""
    parts = []
    while data[offset] in (_TC_BLOCKDATA, _TC_BLOCKDATALONG):
        header = ">xB" if data[offset] == _TC_BLOCKDATA else ">xi"
        (length,) = struct.unpack_from(header, data, offset)
        offset += struct.calcsize(header)
        if not 0 <= length <= len(data) - offset:
            raise _foreign(data, "a block is longer than the bytes that are there")
        parts.append(data[offset : offset + length])
        offset += length
    return b"".join(parts), offset


def _block(data: bytes) -> bytes:
    if len(data) <= 0xFF:
        return bytes((_TC_BLOCKDATA, len(data))) + data
    return struct.pack(">Bi", _TC_BLOCKDATALONG, len(data)) + data


def _foreign(data: bytes, reason: str) -> LeaderRetrievalError:
    return LeaderRetrievalError(
        f"{len(data)} bytes ({data[:8].hex()}...) are not leader information of Flink 1.20: "
        f"{reason}"
    )


def encode_modified_utf8(text: str) -> bytes:
    """Java's modified UTF-8: NUL takes two bytes, what is beyond 16 bits is a surrogate pair."""
    if text.isascii() and "\0" not in text:
        return text.encode()
    units = text.encode("utf-16-be", "surrogatepass")
    return b"".join(
        b"\xc0\x80" if unit == 0 else chr(unit).encode("utf-8", "surrogatepass")
        for (unit,) in struct.iter_unpack(">H", units)
    )


def decode_modified_utf8(data: bytes) -> str:
    """``UnicodeDecodeError`` for bytes that Java does not write."""
    wide = re.search(rb"[\xf0-\xff]", data)  # Java writes no more than three bytes for a unit
    if wide is not None:
        raise UnicodeDecodeError("modified UTF-8", data, wide.start(), wide.end(), "four bytes")
    units = data.replace(b"\xc0\x80", b"\x00").decode("utf-8", "surrogatepass")
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")


# --- pointers of Flink's own state ------------------------------------------------------

_HANDLE_PREFIX = bytes.fromhex(
    "aced00057372003b6f72672e6170616368652e666c696e6b2e72756e74696d652e73746174652e52657472696576"
    "61626c6553747265616d537461746548616e646c6500011e18f155972b0200014c00187772617070656453747265"
    "616d537461746548616e646c657400324c6f72672f6170616368652f666c696e6b2f72756e74696d652f73746174"
    "652f53747265616d537461746548616e646c653b7870737200396f72672e6170616368652e666c696e6b2e72756e"
    "74696d652e73746174652e66696c6573797374656d2e46696c65537461746548616e646c6504dc75d862bd1bb302"
    "00024a0009737461746553697a654c000866696c655061746874001f4c6f72672f6170616368652f666c696e6b2f"
    "636f72652f66732f506174683b7870"
)
_HANDLE_MIDDLE = bytes.fromhex(
    "7372001d6f72672e6170616368652e666c696e6b2e636f72652e66732e5061746800000000000000010200014c00"
    "0375726974000e4c6a6176612f6e65742f5552493b78707372000c6a6176612e6e65742e555249ac01782e439e49"
    "ab0300014c0006737472696e677400124c6a6176612f6c616e672f537472696e673b787074"
)


@dataclass(frozen=True, slots=True)
class FlinkStateHandle:
    """A pointer of Flink's: the URI of a file and its size in bytes."""

    uri: str
    size: int


def decode_state_handle(data: bytes) -> FlinkStateHandle:
    """Read a ``RetrievableStreamStateHandle`` of a ``FileStateHandle``.

    ``CorruptStateError`` when ``data`` is anything else.
    """
    size_at = len(_HANDLE_PREFIX)
    middle_at = size_at + 8
    text_at = middle_at + len(_HANDLE_MIDDLE)
    if not data.startswith(_HANDLE_PREFIX) or data[middle_at:text_at] != _HANDLE_MIDDLE:
        raise CorruptStateError(
            f"{len(data)} bytes ({data[:8].hex()}...) are not a state handle of Flink 1.20"
        )
    try:
        (size,) = struct.unpack_from(">q", data, size_at)
        (length,) = struct.unpack_from(">H", data, text_at)
        text = data[text_at + 2 : text_at + 2 + length]
        if len(text) != length or size < 0:
            raise CorruptStateError("a state handle of Flink 1.20 ends too early")
        return FlinkStateHandle(decode_modified_utf8(text), size)
    except (struct.error, UnicodeDecodeError):
        raise CorruptStateError("a state handle of Flink 1.20 is damaged") from None


def encode_state_handle(uri: str, size: int) -> bytes:
    """The bytes of a ``RetrievableStreamStateHandle`` of a ``FileStateHandle``, as Flink's.

    ``ValueError`` for a size below 0 or a URI of more than Java's 65535 bytes.
    """
    text = encode_modified_utf8(uri)
    if size < 0 or len(text) > 0xFFFF:
        raise ValueError(f"a state handle of {size} bytes at {uri[:60]!r} cannot be written")
    length = struct.pack(">H", len(text))
    return b"".join((_HANDLE_PREFIX, struct.pack(">q", size), _HANDLE_MIDDLE, length, text, b"x"))


_MARKED_CLASS = (
    b"org.apache.flink.kubernetes.highavailability.KubernetesStateHandleStore"
    b"$StateHandleWithDeleteMarker"
)
_MARKED_PREFIX = _STREAM_HEADER + b"sr" + struct.pack(">H", len(_MARKED_CLASS)) + _MARKED_CLASS
_MARKED_FIELDS = (
    b"\x02\x00\x02Z\x00\x11markedForDeletionL\x00\x05innert\x00\x37"
    b"Lorg/apache/flink/runtime/state/RetrievableStateHandle;xp"
)
_UID = 8  # serialVersionUID: the class declares none, so it may differ with Flink's version


def decode_marked_state_handle(data: bytes) -> tuple[FlinkStateHandle, bool]:
    """Read what Flink keeps in a ConfigMap: a pointer, and whether it is about to be deleted.

    Source: ``KubernetesStateHandleStore.StateHandleWithDeleteMarker``. ``CorruptStateError``
    when ``data`` is anything else.
    """
    fields_at = len(_MARKED_PREFIX) + _UID
    marker_at = fields_at + len(_MARKED_FIELDS)
    fields = data[fields_at:marker_at]
    if not data.startswith(_MARKED_PREFIX) or fields != _MARKED_FIELDS or len(data) <= marker_at:
        raise CorruptStateError(
            f"{len(data)} bytes ({data[:8].hex()}...) are not a pointer of Flink 1.20 on Kubernetes"
        )
    handle = decode_state_handle(_STREAM_HEADER + data[marker_at + 1 :])
    return handle, data[marker_at] != 0
