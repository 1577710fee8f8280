"""Real files, spoiled: the case of a number is always the same."""

import random
import struct
import zlib

from .seeds import seeds

_NUMBERS = [0, 1, 2, 3, 7, 8, 9, 15, 16, 31, 32, 64, 127, 128, 255, 256, 511, 1000, 4096, 32767, 32768, 65535, 65536]
_NUMBERS += [2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
_KINDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 0, 99]


def mutated(number: int) -> bytes:
    """A seed with one to four kinds of damage."""
    chance = random.Random(f"mutation {number}")
    names = list(seeds())
    data = bytearray(seeds()[names[number % len(names)]])
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 4])):
        chance.choice(_DAMAGES)(data, chance)
    return bytes(data)


def _bytes(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        if data:
            data[_place(data, chance)] = chance.randrange(256)


def _number(data: bytearray, chance: random.Random) -> None:
    """An extreme number in place of two, four or eight bytes."""
    form = chance.choice(["<H", ">H", "<L", ">L", "<Q", ">Q"])
    size = struct.calcsize(form)
    at = _place(data, chance)
    data[at : at + size] = struct.pack(form, chance.choice(_NUMBERS) % 256**size)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) + 1 :]


def _removed(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.randrange(1, 40)]


def _repeated(data: bytearray, chance: random.Random) -> None:
    at, length = _place(data, chance), chance.randrange(1, 200)
    data[at:at] = data[at : at + length] * chance.choice([1, 1, 2, 50])


def _blanked(data: bytearray, chance: random.Random) -> None:
    at, length = _place(data, chance), chance.randrange(1, 60)
    data[at : at + length] = chance.choice([b"\0", b"\xff", b"A"]) * len(data[at : at + length])


def _spliced(data: bytearray, chance: random.Random) -> None:
    """The end of another file."""
    other = seeds()[chance.choice(list(seeds()))]
    data[_place(data, chance) :] = other[chance.randrange(len(other)) :]


def _tag(data: bytearray, chance: random.Random) -> None:
    """Another type, count or value in a TIFF's entry, or another pointer from page to page."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _number(data, chance)
    order, big = ("<" if data[:2] == b"II" else ">"), 43 in data[2:4]
    pointer, number, entry = (order + "Q", order + "Q", 20) if big else (order + "L", order + "H", 12)
    starts, at = [], 8 if big else 4
    while len(starts) < 20 and at + struct.calcsize(pointer) <= len(data):
        start = struct.unpack_from(pointer, data, at)[0]
        if not 0 < start < len(data) - 8:
            break
        starts.append((start, at))
        count = struct.unpack_from(number, data, start)[0]
        at = start + struct.calcsize(number) + count * entry
    if not starts:
        return None
    start, at = chance.choice(starts)
    if chance.random() < 0.1:
        value = chance.choice([starts[0][0], start, at, len(data) - 2, chance.choice(_NUMBERS)])
        return _pack(data, pointer, at, value)
    count = struct.unpack_from(number, data, start)[0]
    where = start + struct.calcsize(number) + chance.randrange(max(count, 1)) * entry
    field = chance.choice(["tag", "kind", "count", "value", "value", "value"])
    if field in ("tag", "kind"):
        value = chance.choice(_KINDS) if field == "kind" else chance.randrange(254, 350)
        return _pack(data, order + "H", where + (2 if field == "kind" else 0), value)
    value = chance.choice([*_NUMBERS, start, len(data), chance.randrange(2000)])
    return _pack(data, pointer, where + (4 if field == "count" else 12 if big else 8), value)


def _chunk(data: bytearray, chance: random.Random) -> None:
    """Another byte in a PNG's chunk, with a checksum that is right again; or a chunk gone, twice or elsewhere."""
    if data[:4] != b"\x89PNG":
        return _number(data, chance)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">L", data, at)[0]
        chunks.append((bytes(data[at + 4 : at + 8]), bytearray(data[at + 8 : at + 8 + length])))
        at += 12 + length
    if not chunks:
        return None
    which = chance.randrange(len(chunks))
    name, body = chunks[which]
    what = chance.choice(["byte", "byte", "byte", "gone", "twice", "moved", "zlib"])
    if what == "byte" and body:
        body[chance.randrange(min(len(body), 40))] = chance.choice([0, 1, 2, 3, 4, 8, 16, 127, 128, 255])
    elif what == "gone":
        del chunks[which]
    elif what == "twice":
        chunks.insert(which, (name, bytearray(body)))
    elif what == "moved":
        chunks.insert(chance.randrange(len(chunks)), chunks.pop(which))
    elif what == "zlib":
        chunks[which] = (name, bytearray(zlib.compress(bytes(chance.choice([0, 10, 100_000, 3_000_000])))))
    data[8:] = b"".join(struct.pack(">L", len(b)) + n + b + struct.pack(">L", zlib.crc32(n + b)) for n, b in chunks)
    return None


def _pack(data: bytearray, form: str, at: int, value: int) -> None:
    size = struct.calcsize(form)
    if at + size <= len(data):
        data[at : at + size] = struct.pack(form, value % 256**size)


def _place(data: bytearray, chance: random.Random) -> int:
    """Headers are hit half of the time."""
    return chance.randrange(min(max(len(data), 1), chance.choice([120, 10**9])))


_DAMAGES = [_bytes, _number, _number, _cut, _removed, _repeated, _blanked, _spliced, _tag, _tag, _tag, _tag, _chunk]
_DAMAGES += [_chunk]
