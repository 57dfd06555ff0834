//! The redactor of `examples/plugins`, in Zig: option `remove` names members of JSON objects that go, option `mask` those
//! that are masked. `README.md` of the folder above says what all languages do.

const std = @import("std");
const abi = @import("abi.zig");

const masked = "\"***\"";

const Refused = error{ NotJson, EscapedName };

const Edit = extern struct { index: u32, action: Action, argument: u32 };
const Action = enum(u8) { drop, reject, set_value, set_value_null, replace };
const Rejection = extern struct { code: u32, reason: abi.Text };
const AppendedHeader = opaque {};
const Answer = extern struct {
    edits: abi.List(Edit),
    bytes: abi.Text,
    rejections: abi.List(Rejection),
    append_headers: extern struct { at: ?*const AppendedHeader, len: usize },
};

/// What rejecting edits refer to, by index.
const rejections = [_]Rejection{
    .{ .code = 1, .reason = .of("not JSON") },
    .{ .code = 2, .reason = .of("a name with an escape") },
};

/// Names between commas, as the operator gave them; they live as long as the instance.
var remove: []const u8 = "";
var mask: []const u8 = "";

var result: abi.Result(Answer) = undefined;
var configured: abi.Result(abi.List(abi.Text)) = undefined;

fn configure(options: []const abi.Option) abi.Result(abi.List(abi.Text)) {
    for (options) |option| {
        const place = if (std.mem.eql(u8, option.name.slice(), "remove"))
            &remove
        else if (std.mem.eql(u8, option.name.slice(), "mask"))
            &mask
        else
            return abi.refuseOption(option, "there are remove, mask");
        place.* = std.heap.wasm_allocator.dupe(u8, option.value.slice()) catch @trap();
    }
    var names = Names.of(remove);
    var masks = Names.of(mask);
    if (names.next() == null and masks.next() == null) {
        return .err("there is nothing to redact: give names in option remove or mask");
    }
    return .ok(.of(&.{}));
}

/// The parts of an option between commas, without blanks around them.
const Names = struct {
    parts: std.mem.TokenIterator(u8, .scalar),

    fn of(option: []const u8) Names {
        return .{ .parts = std.mem.tokenizeScalar(u8, option, ',') };
    }

    fn next(names: *Names) ?[]const u8 {
        while (names.parts.next()) |part| {
            const name = std.mem.trim(u8, part, " \t");
            if (name.len > 0) return name;
        }
        return null;
    }

    fn has(option: []const u8, name: []const u8) bool {
        var names = Names.of(option);
        while (names.next()) |known| if (std.mem.eql(u8, known, name)) return true;
        return false;
    }
};

/// Writes the value without what must not be stored behind `out`; says whether anything of it was there.
fn redact(value: []const u8, out: *std.ArrayList(u8)) Refused!bool {
    var scan = Scan{ .value = value };
    const is_object = scan.take('{');
    const changed = is_object and try members(&scan, out);
    if (!is_object) try scan.any();
    scan.blanks();
    return if (scan.at < value.len) error.NotJson else changed;
}

fn members(scan: *Scan, out: *std.ArrayList(u8)) Refused!bool {
    const memory = abi.memory();
    var changed = false;
    const start = out.items.len;
    out.append(memory, '{') catch @trap();
    var more = !scan.take('}');
    while (more) {
        scan.blanks();
        const from = scan.at;
        const name = try scan.string();
        if (std.mem.findScalar(u8, name, '\\') != null) return error.EscapedName;
        try scan.need(':');
        scan.blanks();
        const value_from = scan.at;
        try scan.any();
        const is_removed = Names.has(remove, name);
        const is_masked = !is_removed and Names.has(mask, name);
        changed = changed or is_removed or is_masked;
        if (!is_removed) {
            if (out.items.len > start + 1) out.append(memory, ',') catch @trap();
            const kept = scan.value[from..if (is_masked) value_from else scan.at];
            out.appendSlice(memory, kept) catch @trap();
            if (is_masked) out.appendSlice(memory, masked) catch @trap();
        }
        more = scan.take(',');
        if (!more) try scan.need('}');
    }
    out.append(memory, '}') catch @trap();
    return changed;
}

/// A walk over a value.
const Scan = struct {
    value: []const u8,
    at: usize = 0,

    fn peek(scan: *const Scan) Refused!u8 {
        return if (scan.at < scan.value.len) scan.value[scan.at] else error.NotJson;
    }

    fn blanks(scan: *Scan) void {
        while (true) switch (scan.peek() catch return) {
            ' ', '\t', '\r', '\n' => scan.at += 1,
            else => return,
        };
    }

    /// Passes over blanks and this byte, if it is there.
    fn take(scan: *Scan, byte: u8) bool {
        scan.blanks();
        const is_there = (scan.peek() catch return false) == byte;
        if (is_there) scan.at += 1;
        return is_there;
    }

    fn need(scan: *Scan, byte: u8) Refused!void {
        if (!scan.take(byte)) return error.NotJson;
    }

    /// Passes over a string, and returns what is between its quotes.
    fn string(scan: *Scan) Refused![]const u8 {
        try scan.need('"');
        const from = scan.at;
        while (true) switch (try scan.peek()) {
            '"' => break,
            '\\' => scan.at += 2,
            0...0x1f => return error.NotJson,
            else => scan.at += 1,
        };
        scan.at += 1;
        return scan.value[from .. scan.at - 1];
    }

    /// Passes over a string, a word or number, or everything from an opening bracket to the one that closes it.
    fn any(scan: *Scan) Refused!void {
        var depth: usize = 0;
        while (true) {
            switch (try scan.peek()) {
                '"' => _ = try scan.string(),
                '{', '[' => {
                    depth += 1;
                    scan.at += 1;
                },
                '}', ']' => {
                    if (depth == 0) return error.NotJson;
                    depth -= 1;
                    scan.at += 1;
                },
                else => if (depth == 0) try scan.word() else {
                    scan.at += 1;
                },
            }
            if (depth == 0) return;
        }
    }

    /// `true`, `false`, `null`, or what begins as a number does.
    fn word(scan: *Scan) Refused!void {
        const from = scan.at;
        while (true) switch (scan.peek() catch 0) {
            '0'...'9', 'a'...'z', 'A'...'Z', '+', '-', '.' => scan.at += 1,
            else => break,
        };
        const found = scan.value[from..scan.at];
        for ([_][]const u8{ "true", "false", "null" }) |known| if (std.mem.eql(u8, found, known)) return;
        if (found.len == 0 or !(found[0] == '-' or std.ascii.isDigit(found[0]))) return error.NotJson;
    }
};

/// A walk over the records of a flat batch, which the node has checked: see `flat` in `sdk-wasm/wit/types.wit`.
const Records = struct {
    rest: []const u8,

    /// The next record's value.
    fn next(records: *Records) ?[]const u8 {
        const length = records.varint();
        var body = Records{ .rest = records.take(@intCast(length)) };
        _ = body.take(1); // attributes
        _ = body.varint(); // timestamp
        _ = body.varint(); // offset
        _ = body.bytes(); // key
        return body.bytes();
    }

    fn take(records: *Records, count: usize) []const u8 {
        defer records.rest = records.rest[count..];
        return records.rest[0..count];
    }

    fn bytes(records: *Records) ?[]const u8 {
        const length = records.varint();
        return if (length < 0) null else records.take(@intCast(length));
    }

    fn varint(records: *Records) i64 {
        var zigzag: u64 = 0;
        var shift: u6 = 0;
        while (true) : (shift += 7) {
            const byte = records.take(1)[0];
            zigzag |= @as(u64, byte & 0x7f) << shift;
            if (byte < 0x80) break;
        }
        return @as(i64, @bitCast(zigzag >> 1)) ^ -@as(i64, @intCast(zigzag & 1));
    }
};

export fn @"weir:plugin/producer-hooks-flat@1.0.0#configure"(
    _: [*]const u8, // the topic
    _: usize,
    _: u64, // the revision
    _: u32, // how many partitions
    options: [*]const abi.Option,
    options_len: usize,
    _: u32, // the most bytes of an answer
) *const anyopaque {
    configured = configure(options[0..options_len]);
    return &configured;
}

export fn @"weir:plugin/producer-hooks-flat@1.0.0#on-send"(
    _: u32, // whether there is a producer's number
    _: u64,
    _: u64, // the batch's number
    _: u32, // whether there is a guess
    _: u32,
    count: u32,
    _: i64, // the base timestamp
    at: [*]const u8,
    len: usize,
) *const anyopaque {
    const memory = abi.memory();
    var records = Records{ .rest = at[0..len] };
    var edits: std.ArrayList(Edit) = .empty;
    var bytes: std.ArrayList(u8) = .empty;
    for (0..count) |index| {
        const value = records.next() orelse continue;
        const before = bytes.items.len;
        const edit: ?Edit = if (redact(value, &bytes)) |changed|
            if (changed) .{ .index = @intCast(index), .action = .set_value, .argument = @intCast(bytes.items.len - before) } else null
        else |refused|
            .{ .index = @intCast(index), .action = .reject, .argument = if (refused == error.NotJson) 0 else 1 };
        if (edit == null or edit.?.action == .reject) bytes.shrinkRetainingCapacity(before);
        if (edit) |made| edits.append(memory, made) catch @trap();
    }
    result = .ok(.{
        .edits = .of(edits.items),
        .bytes = .of(bytes.items),
        .rejections = .of(&rejections),
        .append_headers = .{ .at = null, .len = 0 },
    });
    return &result;
}

export fn @"weir:plugin/producer-hooks-flat@1.0.0#on-acknowledgement"(
    _: u32,
    _: u64,
    _: u64,
    _: u32,
    _: u32,
    _: u32,
    _: i64,
    _: *const anyopaque, // outcomes
    _: usize,
    _: *const anyopaque, // runs
    _: usize,
) void {}

export fn @"weir:plugin/producer-hooks-flat@1.0.0#close"() void {}

export fn @"cabi_post_weir:plugin/producer-hooks-flat@1.0.0#configure"(_: *const anyopaque) void {
    abi.post();
}

export fn @"cabi_post_weir:plugin/producer-hooks-flat@1.0.0#on-send"(_: *const anyopaque) void {
    abi.post();
}
