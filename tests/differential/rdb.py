"""String values as DUMP and RESTORE carry them: type, RDB string, version, CRC-64."""
import struct

_CRC_POLY = 0x95AC9329AC4BC9B5  # Redis's CRC-64 (Jones), reflected


def _crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (_CRC_POLY if n & 1 else 0)
        table.append(n)
    return table


_CRC = _crc_table()


def crc64(data):
    crc = 0
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    return crc


def rdb_length(n):
    if n < 64:
        return bytes([n])
    if n < 16384:
        return bytes([0x40 | n >> 8, n & 255])
    return b"\x80" + struct.pack(">I", n)


def rdb_string(value):
    return rdb_length(len(value)) + value


def dump_payload(body, version=10):
    """What DUMP answers for an object whose type and bytes are body."""
    data = body + struct.pack("<H", version)
    return data + struct.pack("<Q", crc64(data))


def unpack_lzf(data, size):
    out, at = bytearray(), 0
    while at < len(data):
        control = data[at]
        at += 1
        if control < 32:
            out += data[at:at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += data[at]
            at += 1
        back = len(out) - ((control & 31) << 8) - data[at] - 1
        at += 1
        for n in range(length + 2):
            out.append(out[back + n])
    if len(out) != size:
        raise ValueError("LZF")
    return bytes(out)


def length_at(data, at):
    first = data[at]
    if first >> 6 == 0:
        return first & 63, at + 1
    if first >> 6 == 1:
        return (first & 63) << 8 | data[at + 1], at + 2
    if first == 0x80:
        return struct.unpack_from(">I", data, at + 1)[0], at + 5
    if first == 0x81:
        return struct.unpack_from(">Q", data, at + 1)[0], at + 9
    raise ValueError("length")


def value_of(payload):
    """The string in a payload of DUMP; ValueError when it is not a sound one of a string."""
    data = payload[:-8]
    if len(payload) < 12 or struct.unpack("<Q", payload[-8:])[0] != crc64(data) or data[0] != 0 or not 6 <= struct.unpack("<H", data[-2:])[0] <= 10:
        raise ValueError("not the dump of a string")
    body = data[1:-2]
    if body[0] in (0xc0, 0xc1, 0xc2):
        size = 1 << (body[0] & 3)
        return b"%d" % int.from_bytes(body[1:1 + size], "little", signed=True)
    if body[0] == 0xc3:
        packed, at = length_at(body, 1)
        size, at = length_at(body, at)
        return unpack_lzf(body[at:at + packed], size)
    size, at = length_at(body, 0)
    if len(body) != at + size:
        raise ValueError("length")
    return body[at:]
