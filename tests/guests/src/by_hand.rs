//! Guests whose modules are written by hand, for what no compiler makes: producer interceptors that keep everything and
//! have something more.

use crate::PASS_FLAT_CORE;

/// More than the default limit `table.elements`, 10,000, and less than a slot of the pool has.
const LARGE_TABLE: &str = "20000";

pub(crate) fn large_table() -> Vec<u8> {
    module("(memory (export \"memory\") 2)", &format!("(table {LARGE_TABLE} funcref)"), "")
}

pub(crate) fn growing_table() -> Vec<u8> {
    let grow = format!("(drop (table.grow $it (ref.null func) (i32.const {LARGE_TABLE})))");
    module("(memory (export \"memory\") 2)", "(table $it 1 funcref)", &grow)
}

/// 16 MiB: more than the tests' limit.
pub(crate) fn large_memory() -> Vec<u8> {
    module("(memory (export \"memory\") 256)", "", "")
}

/// 512 MiB: more than a slot of the pool has.
pub(crate) fn huge_memory() -> Vec<u8> {
    module("(memory (export \"memory\") 8192)", "", "")
}

pub(crate) fn trapping_start() -> Vec<u8> {
    module("(memory (export \"memory\") 2)", "(func $start unreachable) (start $start)", "")
}

pub(crate) fn simd() -> Vec<u8> {
    module("(memory (export \"memory\") 2)", "", "(drop (v128.const i64x2 1 2))")
}

pub(crate) fn threads() -> Vec<u8> {
    module("(memory (export \"memory\") 2)", "", "(drop (i32.atomic.load (i32.const 0)))")
}

pub(crate) fn memory64() -> Vec<u8> {
    module("(memory (export \"memory\") 2)", "(table i64 1 funcref)", "")
}

pub(crate) fn large_function() -> Vec<u8> {
    module("(memory (export \"memory\") 2)", "", &"nop ".repeat(1024 * 1024))
}

/// A core module that says that it is a flat producer interceptor: a node makes a component of it. `more` are fields of
/// the module, `on_send` is what the hook does before it answers that everything is kept.
fn module(memory: &str, more: &str, on_send: &str) -> Vec<u8> {
    // Every answer stands at 64, where there are zeros: `ok`, and empty lists.
    let text = format!(
        r#"(module
            {memory}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
            (func (export "weir:plugin/producer-hooks-flat@1.0.0#configure")
                (param i32 i32 i64 i32 i32 i32 i32) (result i32) i32.const 64)
            (func (export "weir:plugin/producer-hooks-flat@1.0.0#on-send")
                (param i32 i64 i64 i32 i32 i32 i64 i32 i32) (result i32) {on_send} i32.const 64)
            (func (export "weir:plugin/producer-hooks-flat@1.0.0#on-acknowledgement")
                (param i32 i64 i64 i32 i32 i32 i64 i32 i32 i32 i32))
            (func (export "weir:plugin/producer-hooks-flat@1.0.0#close"))
            {more})"#
    );
    let mut module = wat::parse_str(text).expect("the text of a guest is well-formed");
    module.extend_from_slice(world());
    module
}

/// The section of a module that says which world it implements, as the compiler made it for the module of a guest
/// of that world.
fn world() -> &'static [u8] {
    let mut rest = &PASS_FLAT_CORE[8..];
    loop {
        let (&id, behind) = rest.split_first().expect("the module has the section");
        let (length, body) = leb128(behind);
        let (section, next) = rest.split_at(rest.len() - body.len() + length);
        // A custom section begins with the length of its name, in one byte, and its name.
        if id == 0 && body[1..].starts_with(b"component-type") {
            return section;
        }
        rest = next;
    }
}

/// An unsigned number in LEB128, and what follows it.
fn leb128(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).expect("the number ends");
    let number = bytes[..=end].iter().rev().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    (number, &bytes[end + 1..])
}
