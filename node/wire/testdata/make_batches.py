#!/usr/bin/env python3
"""Record batches as another implementation writes them, for the tests of weir-wire's batch module.

    pip install kafka-python==3.0.12 python-snappy==0.7.3 lz4==4.4.5 zstandard==0.25.0
    python3 make_batches.py > batches_kafka_python.json

And the other way round, what weir-wire writes, read by that implementation:

    cargo test -q -p weir-wire --test batch_vectors -- --ignored --nocapture print_batches | python3 make_batches.py --check

The JSON is a list of cases: name, the batch in hexadecimal, the header fields that matter, and the records. Bytes are
hexadecimal; "6162*20000" stands for 20,000 times "ab".
"""

import json
import struct
import sys

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BATCH_BYTES_MAX = 1 << 20
TIME = 1_700_000_000_000


class ControlBatchBuilder(DefaultRecordBatchBuilder):
    """Clients write no control batches, so the library's builder lacks the flag."""

    def _get_attributes(self, include_compression_type=True):
        return super()._get_attributes(include_compression_type) | self.CONTROL_MASK


def unpack(text):
    if text is None:
        return None
    unit, _, times = text.partition("*")
    return bytes.fromhex(unit) * int(times or 1)


def record(timestamp_ms, key, value, headers=()):
    return {
        "timestamp_ms": timestamp_ms,
        "key": key,
        "value": value,
        "headers": [[name, content] for name, content in headers],
    }


def case(name, records, codec="none", producer=(-1, -1, -1), transactional=False, control=False):
    builder_class = ControlBatchBuilder if control else DefaultRecordBatchBuilder
    builder = builder_class(2, CODECS.index(codec), transactional, *producer, BATCH_BYTES_MAX)
    for delta, one in enumerate(records):
        headers = [(name, unpack(content)) for name, content in one["headers"]]
        assert builder.append(delta, one["timestamp_ms"], unpack(one["key"]), unpack(one["value"]), headers)
        one["offset_delta"] = delta
    batch = bytes(builder.build())
    assert DefaultRecordBatch(batch).compression_type == CODECS.index(codec), "compression must pay in the case " + name
    return {
        "name": name,
        "batch": batch.hex(),
        "base_offset": 0,
        "leader_epoch": 0,
        "compression": codec,
        "timestamp_type": "create",
        "transactional": transactional,
        "control": control,
        "producer": list(producer) if producer[0] >= 0 else None,
        "last_offset_delta": len(records) - 1,
        "max_timestamp_ms": max(one["timestamp_ms"] for one in records),
        "records": records,
    }


def mixed(codec):
    """Every kind of field and, packed, enough bytes for more than one block of each codec."""
    times = 150 if codec == "none" else 50_000
    return [
        record(TIME, "6b30", "7630"),
        record(TIME - 5_000, None, b"only a value".hex()),
        record(TIME, "", "", [("", ""), ("h", None), ("h", "00ff")]),
        record(TIME + 1, b"gone".hex(), None),
        record(TIME + 10**12, b"late".hex(), f"6162*{times}", [("größe", b"big".hex())]),
        record(TIME, None, None),
    ]


def cases():
    for codec in CODECS:
        yield case("mixed " + codec, mixed(codec), codec)
        yield case(
            "idempotent " + codec,
            [record(TIME + i, bytes([i]).hex(), "63*100") for i in range(130)],
            codec,
            producer=(4711, 3, 2**31 - 2),
        )
    yield case("one record of nothing", [record(TIME, None, None)])
    yield case("timestamps below zero", [record(t, None, "61") for t in (-1, -1000, -(2**62))])
    yield case("the highest timestamp", [record(2**63 - 1, None, "61")])
    yield case("the lowest timestamp first", [record(t, None, "61") for t in (-(2**62), 0, 2**62 - 1)])
    yield case("the highest producer", [record(TIME, None, "61")], producer=(2**63 - 1, 2**15 - 1, 2**31 - 1))
    yield case("transactional", [record(TIME, "6b", "76")], producer=(1, 0, 0), transactional=True)
    marker = record(TIME, struct.pack(">hh", 0, 1).hex(), struct.pack(">hi", 0, 7).hex())
    yield case("control", [marker], producer=(1, 0, 5), transactional=True, control=True)


def check(lines):
    """Reads our own batches, a JSON case per line."""
    count = 0
    for line in lines:
        if not line.startswith("{"):
            continue
        want = json.loads(line)
        batch = DefaultRecordBatch(unpack(want["batch"]))
        assert batch.validate_crc(), want["name"]
        for ours, theirs in zip(want["records"], batch, strict=True):
            headers = [(name, unpack(content)) for name, content in ours["headers"]]
            ours = (ours["timestamp_ms"], unpack(ours["key"]), unpack(ours["value"]), headers)
            assert ours == (theirs.timestamp, theirs.key, theirs.value, theirs.headers), want["name"]
        count += 1
    assert count, "no cases arrived"
    print(f"{count} batches read alike")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check(sys.stdin)
    else:
        print("[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in cases()) + "\n]")
