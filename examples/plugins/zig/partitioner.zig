//! The partitioner of `examples/plugins`, in Zig: a key goes to `xxh3_64(key) mod partitions`. `README.md` of the folder
//! above says what all languages do.

const std = @import("std");
const abi = @import("abi.zig");

var partitions: u32 = 1;
var result: abi.Result(abi.List(u32)) = undefined;
var configured: abi.Result(abi.List(abi.Text)) = undefined;

fn place(key: []const u8) u32 {
    return @intCast(std.hash.XxHash3.hash(0, key) % partitions);
}

/// The producer's guess, else batch by batch round the partitions.
fn placeUnkeyed(producer_id: u64, ordinal: u64, guess: ?u32) u32 {
    if (guess) |partition| if (partition < partitions) return partition;
    return @intCast((producer_id +% ordinal) % partitions);
}

export fn @"weir:plugin/partitioner-hooks-flat@1.0.0#configure"(
    _: [*]const u8, // the topic
    _: usize,
    _: u64, // the revision
    count: u32,
    options: [*]const abi.Option,
    options_len: usize,
    _: u32, // the most bytes of an answer
) *const anyopaque {
    partitions = count;
    configured = if (options_len == 0) .ok(.of(&.{})) else abi.refuseOption(options[0], "this plugin takes none");
    return &configured;
}

export fn @"weir:plugin/partitioner-hooks-flat@1.0.0#partition"(
    has_producer_id: u32,
    producer_id: u64,
    ordinal: u64,
    has_guess: u32,
    guess: u32,
    _: u32, // how many records
    _: i64, // the base timestamp
    keys: [*]const u8,
    _: usize,
    lengths: [*]const i32,
    lengths_len: usize,
) *const anyopaque {
    const unkeyed = placeUnkeyed(
        if (has_producer_id != 0) producer_id else 0,
        ordinal,
        if (has_guess != 0) guess else null,
    );
    const placed = abi.memory().alloc(u32, lengths_len) catch @trap();
    var rest = keys;
    for (placed, lengths[0..lengths_len]) |*partition, length| {
        if (length < 0) {
            partition.* = unkeyed;
            continue;
        }
        const key = rest[0..@intCast(length)];
        partition.* = place(key);
        rest += key.len;
    }
    result = .ok(.of(placed));
    return &result;
}

export fn @"weir:plugin/partitioner-hooks-flat@1.0.0#close"() void {}

export fn @"cabi_post_weir:plugin/partitioner-hooks-flat@1.0.0#configure"(_: *const anyopaque) void {
    abi.post();
}

export fn @"cabi_post_weir:plugin/partitioner-hooks-flat@1.0.0#partition"(_: *const anyopaque) void {
    abi.post();
}
