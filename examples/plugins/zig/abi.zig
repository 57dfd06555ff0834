//! What a generator would write: how the canonical ABI of the component model hands arguments and results of
//! `weir:plugin` over. Only what the two plugins need, in the flat shape; `sdk-wasm/wit` has the contract.

const std = @import("std");

/// What lives from one call to the next `post`: arguments that the node lays down, and results.
var arena = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);

/// A list of the contract.
pub fn List(comptime Item: type) type {
    return extern struct {
        at: [*]const Item,
        len: usize,

        pub fn of(items: []const Item) @This() {
            return .{ .at = items.ptr, .len = items.len };
        }

        pub fn slice(list: @This()) []const Item {
            return list.at[0..list.len];
        }
    };
}

pub const Text = List(u8);
pub const Option = extern struct { name: Text, value: Text };

/// `result<Answer, string>`.
pub fn Result(comptime Answer: type) type {
    return extern struct {
        is_error: bool,
        is: extern union { answer: Answer, problem: Text },

        pub fn ok(answer: Answer) @This() {
            return .{ .is_error = false, .is = .{ .answer = answer } };
        }

        pub fn err(problem: []const u8) @This() {
            return .{ .is_error = true, .is = .{ .problem = Text.of(problem) } };
        }
    };
}

/// Memory for an answer, until the node has read it. A plugin that gets none has failed.
pub fn memory() std.mem.Allocator {
    return arena.allocator();
}

/// To be called when the node has read an answer.
pub fn post() void {
    _ = arena.reset(.retain_capacity);
}

/// The answer of a `configure` that does not know an option.
pub fn refuseOption(option: Option, instead: []const u8) Result(List(Text)) {
    const name = option.name.slice();
    return .err(std.mem.concat(memory(), u8, &.{ "there is no option ", name, ": ", instead }) catch @trap());
}

/// Where the node asks for room for arguments.
export fn cabi_realloc(old: [*]u8, old_len: usize, alignment: usize, len: usize) [*]u8 {
    const room = memory().rawAlloc(len, .fromByteUnits(alignment), @returnAddress()) orelse @trap();
    @memcpy(room[0..@min(old_len, len)], old[0..@min(old_len, len)]);
    return room;
}
