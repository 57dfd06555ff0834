// Record batches as Kafka itself writes them, for the tests of weir-wire's batch module. Besides what a client sends
// (make_batches.py says more about the JSON) these are the batches that only a broker makes.
//
// With org.apache.kafka:kafka-clients:4.3.1, org.xerial.snappy:snappy-java:1.1.10.7, at.yawk.lz4:lz4-java:1.10.1,
// com.github.luben:zstd-jni:1.5.6-10 and org.slf4j:slf4j-api:1.7.36 from Maven Central in jars/:
//
//     java -cp 'jars/*' MakeBatches.java > batches_kafka_java.json
//
// And the other way round, what weir-wire writes (see make_batches.py), as Kafka reads it:
//
//     ... print_batches | java -cp 'jars/*' MakeBatches.java --read

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Scanner;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.Utils;

public class MakeBatches {
    static final long TIME = 1_700_000_000_000L;
    static final Header[] NO_HEADERS = new Header[0];
    static final List<String> cases = new ArrayList<>();

    public static void main(String[] arguments) {
        if (arguments.length == 1 && arguments[0].equals("--read")) {
            Pattern batch = Pattern.compile("\"batch\":\\s*\"([0-9a-f]+)\".*\"name\":\\s*\"([^\"]+)\"");
            new Scanner(System.in).useDelimiter("\n").tokens().map(batch::matcher).filter(Matcher::find)
                .forEach(line -> emit(line.group(2), ByteBuffer.wrap(HexFormat.of().parseHex(line.group(1)))));
        } else {
            make();
        }
        System.out.println("[\n" + String.join(",\n", cases) + "\n]");
    }

    static void make() {
        for (CompressionType type : CompressionType.values()) {
            Compression codec = Compression.of(type).build();
            String value = type == CompressionType.NONE ? "ab".repeat(150) : "ab".repeat(50_000);
            emit("mixed " + type.name, build(codec, TimestampType.CREATE_TIME, 0, 4711, (short) 3, 17, false, 5, b -> {
                b.append(TIME, bytes("k0"), bytes("v0"), NO_HEADERS);
                b.append(TIME - 5_000, null, bytes("only a value"), NO_HEADERS);
                b.append(TIME, bytes(""), bytes(""), new Header[] {
                    header("", ""), new RecordHeader("h", (byte[]) null), header("h", "\0x")});
                b.append(TIME + 1, bytes("gone"), null, NO_HEADERS);
                b.append(TIME + 1_000_000_000_000L, bytes("late"), bytes(value), new Header[] {header("größe", "big")});
                b.append(TIME, null, (byte[]) null, NO_HEADERS);
            }));
            emit("log append time " + type.name, build(codec, TimestampType.LOG_APPEND_TIME, 1_000_000_007L, -1L, (short) -1, -1, false, 9, b -> {
                b.append(0, bytes("k"), bytes(value), NO_HEADERS);
                b.append(1, bytes("l"), bytes(value), NO_HEADERS);
            }));
            // As compaction leaves it: offsets 1003, 1005 and 1100 of a batch that began at 1000.
            emit("gaps " + type.name, build(codec, TimestampType.CREATE_TIME, 1000, -1L, (short) -1, -1, false, 2, b -> {
                b.appendWithOffset(1003, new SimpleRecord(TIME, bytes("k"), bytes(value)));
                b.appendWithOffset(1005, new SimpleRecord(TIME - 1, null, bytes(value)));
                b.appendWithOffset(1100, new SimpleRecord(TIME + 1, bytes("l"), null));
            }));
        }
        emit("transactional", build(Compression.NONE, TimestampType.CREATE_TIME, 0, 1, (short) 0, 0, true, -1,
            b -> b.append(TIME, bytes("k"), bytes("v"), NO_HEADERS)));

        ByteBuffer empty = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(empty, RecordBatch.MAGIC_VALUE_V2, 7, (short) 1, 20, 500, 511, 3,
            TimestampType.CREATE_TIME, TIME, false, false);
        empty.flip();
        emit("emptied by compaction", empty);

        emit("leader change", MemoryRecords.withLeaderChangeMessage(42, TIME, 6, ByteBuffer.allocate(1000),
            new LeaderChangeMessage().setLeaderId(2)).buffer());
        emit("commit marker", MemoryRecords.withEndTransactionMarker(99, TIME, 6, 4711, (short) 3,
            new EndTransactionMarker(ControlRecordType.COMMIT, 8)).buffer());
    }

    interface Records { void appendTo(MemoryRecordsBuilder builder); }

    static ByteBuffer build(Compression codec, TimestampType timestampType, long baseOffset, long producerId,
            short producerEpoch, int baseSequence, boolean transactional, int leaderEpoch, Records records) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2,
            codec, timestampType, baseOffset, 1_800_000_000_000L, producerId, producerEpoch, baseSequence,
            transactional, leaderEpoch);
        records.appendTo(builder);
        return builder.build().buffer();
    }

    static void emit(String name, ByteBuffer buffer) {
        DefaultRecordBatch batch = (DefaultRecordBatch) MemoryRecords.readableRecords(buffer.duplicate()).batches().iterator().next();
        batch.ensureValid();
        List<String> records = new ArrayList<>();
        batch.forEach(record -> {
            List<String> headers = new ArrayList<>();
            for (Header header : record.headers())
                headers.add("[\"" + header.key() + "\", " + hex(header.value()) + "]");
            records.add("{\"timestamp_ms\": " + record.timestamp() + ", \"key\": " + hex(array(record.key()))
                + ", \"value\": " + hex(array(record.value())) + ", \"headers\": [" + String.join(", ", headers)
                + "], \"offset_delta\": " + (record.offset() - batch.baseOffset()) + "}");
        });
        cases.add("{\"name\": \"" + name + "\", \"batch\": " + hex(Utils.toArray(buffer))
            + ", \"base_offset\": " + batch.baseOffset()
            + ", \"leader_epoch\": " + batch.partitionLeaderEpoch()
            + ", \"compression\": \"" + batch.compressionType().name + "\""
            + ", \"timestamp_type\": \"" + (batch.timestampType() == TimestampType.CREATE_TIME ? "create" : "append") + "\""
            + ", \"transactional\": " + batch.isTransactional()
            + ", \"control\": " + batch.isControlBatch()
            + ", \"producer\": " + (batch.hasProducerId()
                ? "[" + batch.producerId() + ", " + batch.producerEpoch() + ", " + batch.baseSequence() + "]" : "null")
            + ", \"last_offset_delta\": " + (batch.lastOffset() - batch.baseOffset())
            + ", \"max_timestamp_ms\": " + batch.maxTimestamp()
            + ", \"records\": [" + String.join(", ", records) + "]}");
    }

    static Header header(String key, String value) { return new RecordHeader(key, bytes(value)); }

    static byte[] bytes(String text) { return text.getBytes(StandardCharsets.UTF_8); }

    static byte[] array(ByteBuffer buffer) { return buffer == null ? null : Utils.toArray(buffer); }

    static String hex(byte[] bytes) {
        if (bytes == null) return "null";
        String hex = HexFormat.of().formatHex(bytes);
        // The long values of the cases above.
        if (hex.length() > 100 && hex.equals("6162".repeat(hex.length() / 4))) hex = "6162*" + hex.length() / 4;
        return "\"" + hex + "\"";
    }
}
