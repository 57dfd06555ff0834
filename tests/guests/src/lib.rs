//! Guests for the tests of the plugin host: components that pass everything through, and many that misbehave.
//!
//! A hostile guest is a component and a value of its option `mode`, and each has a test of its own in the host's
//! suite, named as here. [`for_each_guest!`] makes that a matter of compiling:
//!
//! ```
//! mod hostile {
//!     macro_rules! assert_test_exists {
//!         ($name:ident) => {
//!             #[allow(unused_imports)]
//!             use self::$name as _;
//!         };
//!     }
//!     weir_guests::for_each_guest!(assert_test_exists);
//! #   macro_rules! written { ($name:ident) => { fn $name() {} } }
//! #   weir_guests::for_each_guest!(written);
//!
//!     // #[test]
//!     // fn loops() { ... }
//! }
//! ```
//!
//! The components next to this file are built by `plugins/build`, from the folders next to them.

mod by_hand;

use self::by_hand::{
    growing_table, huge_memory, large_function, large_memory, large_table, memory64, simd, threads,
    trapping_start,
};

/// Keeps everything, flat: what the way through a plugin costs.
pub const PASS_FLAT: &[u8] = include_bytes!("../pass-flat/pass-flat.wasm");
/// Keeps everything, typed.
pub const PASS_TYPED: &[u8] = include_bytes!("../pass-typed/pass-typed.wasm");
/// The core module that [`PASS_FLAT`] was made of: it carries the component's metadata, and a node wraps it.
pub const PASS_FLAT_CORE: &[u8] = include_bytes!("../pass-flat/pass-flat.core.wasm");
/// A producer interceptor that keeps everything and was built against contract 1.0.0. It is never built again: a
/// node that speaks a later 1.x must load it.
pub const CONTRACT_1_0: &[u8] = include_bytes!("../contract-1.0.wasm");
/// The same for the other worlds; what they are asked without options they answer like who has nothing to say.
pub const CONTRACT_1_0_OTHERS: [&[u8]; 6] = [
    include_bytes!("../contract-1.0/producer-interceptor.wasm"),
    include_bytes!("../contract-1.0/consumer-interceptor.wasm"),
    include_bytes!("../contract-1.0/consumer-interceptor-flat.wasm"),
    include_bytes!("../contract-1.0/partitioner.wasm"),
    include_bytes!("../contract-1.0/partitioner-flat.wasm"),
    include_bytes!("../contract-1.0/assignor.wasm"),
];

/// A guest that misbehaves.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// What it is called; the host's suite has a test of this name.
    pub name: &'static str,
    /// What is hostile about it.
    pub about: &'static str,
    /// Its option `mode`; empty for one that does not get as far as options.
    pub mode: &'static str,
    component: fn() -> Vec<u8>,
}

impl Guest {
    /// The bytes that are pushed.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        (self.component)()
    }

    /// The binding's options.
    #[must_use]
    pub fn options(&self) -> Vec<(String, String)> {
        let mode = Some(self.mode).filter(|mode| !mode.is_empty());
        mode.map(|mode| ("mode".to_owned(), mode.to_owned())).into_iter().collect()
    }

    /// The guest of this name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn named(name: &str) -> Guest {
        *GUESTS.iter().find(|guest| guest.name == name).unwrap_or_else(|| panic!("there is no guest {name}"))
    }
}

/// The list of guests, once for all that is made of it: [`GUESTS`] and [`for_each_guest!`].
macro_rules! guests {
    ($d:tt $($(#[doc = $about:literal])+ $name:ident = $component:ident $(($mode:literal))?;)+) => {
        /// All guests that misbehave.
        pub const GUESTS: &[Guest] = &[$(Guest {
            name: stringify!($name),
            about: concat!($($about),+),
            mode: concat!($($mode)?),
            component: $component,
        }),+];

        /// Calls a macro with the name of each guest that misbehaves.
        #[macro_export]
        macro_rules! for_each_guest {
            ($d each:ident) => { $($d each!($name);)+ };
        }
    };
}

guests! {
    $
    /// Never comes back from `on-send`.
    loops = producer("loops");
    /// Calls itself until the stack is full.
    recurses = producer("recurses");
    /// Takes memory until it gets no more.
    grows = producer("grows");
    /// Keeps 64 KiB of every call: shows under `reuse`.
    leaks = producer("leaks");
    /// Traps in `on-send`.
    traps_in_on_send = producer("traps");
    /// Survives its trial, and traps in `on-send` of what a producer sent.
    traps_after_its_trial = producer("later-traps");
    /// Survives its trial, and does not come back from `on-send` of what a producer sent.
    loops_after_its_trial = producer("later-loops");
    /// Survives its trial, and takes memory in `on-send` of what a producer sent until it gets no more.
    grows_after_its_trial = producer("later-grows");
    /// Answers `err` in `on-send`.
    errs_in_on_send = producer("errs");
    /// Traps in `configure`.
    traps_in_configure = producer("configure-traps");
    /// Never comes back from `configure`.
    loops_in_configure = producer("configure-loops");
    /// Takes memory in `configure` until it gets no more.
    grows_in_configure = producer("configure-grows");
    /// Refuses its options.
    errs_in_configure = producer("configure-errs");
    /// Is long in `configure`: a tenth of a second or more.
    starts_slowly = producer("configure-is-slow");
    /// Traps in `on-acknowledgement`, which nobody waits for.
    traps_in_on_acknowledgement = producer("acknowledgement-traps");
    /// Never comes back from `on-acknowledgement`.
    loops_in_on_acknowledgement = producer("acknowledgement-loops");
    /// Writes into the log what it is told in `on-acknowledgement`.
    tells_what_became = producer("acknowledgement-tells");
    /// Traps in `close`.
    traps_in_close = producer("close-traps");
    /// Never comes back from `close`.
    loops_in_close = producer("close-loops");
    /// Puts one byte more into its answer than the binding allows.
    answers_too_much = producer("answers-too-much");
    /// Puts three times as much into its answer as the binding allows.
    answers_far_too_much = producer("answers-far-too-much");
    /// Has an edit that takes more bytes than the answer holds.
    claims_too_much = producer("claims-too-much");
    /// Has bytes in its answer that belong to no edit.
    leaves_bytes = producer("leaves-bytes");
    /// Edits a record behind the last one.
    edits_beyond = producer("edits-beyond");
    /// Edits record 1, then record 0; the batch needs two.
    edits_backwards = producer("edits-backwards");
    /// Edits a record twice.
    edits_twice = producer("edits-twice");
    /// Rejects with a rejection that is not there.
    rejects_for_nothing = producer("rejects-for-nothing");
    /// Replaces a record by bytes that are no content.
    replaces_by_noise = producer("replaces-by-noise");
    /// Replaces a record by one with a header whose name is not UTF-8.
    names_a_header_ff = producer("names-a-header-ff");
    /// Gives a reason that is not UTF-8.
    reason_is_not_utf8 = producer("reason-is-not-utf8");
    /// Gives a reason of 10,000 bytes, two to a character: the node cuts it between characters.
    reason_is_long = producer("reason-is-long");
    /// Appends a header with a fact that the node does not know.
    knows_no_such_fact = producer("knows-no-such-fact");
    /// Wants batches in parts, and appends to each record how many there were in its part.
    appends_by_part = producer("appends-by-part");
    /// Drops the first record at every second call of an instance: not pure under `reuse`.
    changes_its_mind = producer("changes-its-mind");
    /// Writes 100,000 lines in one call, and one of a mebibyte.
    floods_the_log = producer("floods-the-log");
    /// Counts under 1,000 names, and under one that is none.
    floods_metrics = producer("floods-metrics");

    /// Traps in `on-consume`.
    traps_in_on_consume = consumer("traps");
    /// Answers `err` in `on-consume`.
    errs_in_on_consume = consumer("errs");
    /// Never comes back from `on-consume`.
    loops_in_on_consume = consumer("loops");
    /// Is long in `on-consume`: some hundredths of a second.
    is_slow_in_on_consume = consumer("is-slow");
    /// Leaves nothing of a batch: the consumer goes on behind it.
    drops_all = consumer("drops-all");
    /// Makes tombstones of all records.
    empties_all = consumer("empties-all");
    /// Rejects a record, which a consumer interceptor cannot.
    rejects_in_on_consume = consumer("rejects");
    /// Asks for a fact that is known on the produce path only.
    asks_for_the_principal = consumer("asks-for-the-principal");
    /// Traps in `on-commit`, which nobody waits for.
    traps_in_on_commit = consumer("commit-traps");

    /// Traps in `partition`.
    traps_in_partition = partitioner("traps");
    /// Answers `err` in `partition`.
    errs_in_partition = partitioner("errs");
    /// Names the first partition that the topic does not have.
    partition_out_of_range = partitioner("out-of-range");
    /// Answers one partition too few.
    partitions_too_few = partitioner("too-few");
    /// Answers one partition too many.
    partitions_too_many = partitioner("too-many");
    /// Places by how often its instance was asked: not pure under `reuse`.
    places_by_counting = partitioner("counts");

    /// Changes a record behind the last one, typed.
    typed_edits_beyond = typed_producer("typed-edits-beyond");
    /// Changes a record twice, typed.
    typed_edits_twice = typed_producer("typed-edits-twice");
    /// Puts one byte more into its typed answer than the binding allows.
    typed_answers_too_much = typed_producer("typed-answers-too-much");
    /// Puts three times as much into its typed answer as the binding allows.
    typed_answers_far_too_much = typed_producer("typed-answers-far-too-much");
    /// Changes a fetched record behind the last one, typed.
    typed_edits_beyond_in_on_consume = typed_consumer("typed-consumer-edits-beyond");
    /// Answers one partition too few, typed.
    typed_partitions_too_few = typed_partitioner("typed-too-few");
    /// Answers one partition too many, typed.
    typed_partitions_too_many = typed_partitioner("typed-too-many");

    /// Traps in `assign`.
    traps_in_assign = assignor("traps");
    /// Never comes back from `assign`.
    loops_in_assign = assignor("loops");
    /// Answers `err` in `assign`.
    errs_in_assign = assignor("errs");
    /// Gives a topic to two members, or twice to one.
    assigns_twice = assignor("assigns-twice");
    /// Gives nothing to anybody.
    assigns_nothing = assignor("assigns-nothing");
    /// Gives all partitions but one.
    forgets_a_partition = assignor("forgets-one");
    /// Gives a topic to a member that does not subscribe to it, if there is one.
    assigns_to_a_stranger = assignor("assigns-to-a-stranger");
    /// Gives a partition that the topic does not have.
    invents_a_partition = assignor("invents-a-partition");
    /// Gives a topic that is not there.
    invents_a_topic = assignor("invents-a-topic");
    /// Answers for one member too many.
    invents_a_member = assignor("invents-a-member");
    /// Answers for one member too few.
    forgets_a_member = assignor("forgets-a-member");

    /// Imports WASI's files, sockets, environment, clocks and randomness: refused by name, or with `--allow wasi` given
    /// none of them, a clock that stands and a seeded random number. Its first record is rejected with what it got.
    imports_wasi = wasi;
    /// Imports a function of its own making.
    imports_an_unknown = unknown_import;
    /// Exports no hooks.
    exports_nothing = no_hooks;
    /// Exports the hooks of two kinds.
    exports_two_kinds = two_kinds;
    /// Exports an interface of the right name without its functions.
    exports_hollow_hooks = hollow_hooks;
    /// Exports the hooks of a contract 2.0, which nobody has written yet.
    exports_a_later_contract = later_contract;
    /// A component of which the second half is missing.
    is_truncated = truncated;
    /// A component with one byte of its code changed.
    is_damaged = damaged;
    /// A component of 60 MiB.
    is_too_large = too_large;
    /// A core module that says nothing about interfaces.
    is_a_bare_module = bare_module;
    /// Begins with a table of more elements than the binding allows.
    begins_with_a_large_table = large_table;
    /// Makes its table larger than the binding allows, in `on-send`.
    grows_its_table = growing_table;
    /// Begins with more memory than the binding allows.
    begins_with_a_large_memory = large_memory;
    /// Begins with more memory than any binding may be given.
    begins_with_a_huge_memory = huge_memory;
    /// Traps before it is told anything.
    traps_at_its_start = trapping_start;
    /// Computes with vectors.
    uses_simd = simd;
    /// Uses what is for threads: an atomic access.
    uses_threads = threads;
    /// Has a table of 64-bit addresses, which come with 64-bit memories.
    uses_memory64 = memory64;
    /// Has one function of more than a mebibyte of code.
    has_a_large_function = large_function;
    /// No WebAssembly at all.
    is_no_wasm = no_wasm;
    /// Nothing.
    is_empty = empty;
}

fn producer() -> Vec<u8> {
    include_bytes!("../hostile-producer/hostile-producer.wasm").to_vec()
}

fn consumer() -> Vec<u8> {
    include_bytes!("../hostile-consumer/hostile-consumer.wasm").to_vec()
}

fn partitioner() -> Vec<u8> {
    include_bytes!("../hostile-partitioner/hostile-partitioner.wasm").to_vec()
}

fn typed_producer() -> Vec<u8> {
    include_bytes!("../hostile-typed-producer/hostile-typed-producer.wasm").to_vec()
}

fn typed_consumer() -> Vec<u8> {
    include_bytes!("../hostile-typed-consumer/hostile-typed-consumer.wasm").to_vec()
}

fn typed_partitioner() -> Vec<u8> {
    include_bytes!("../hostile-typed-partitioner/hostile-typed-partitioner.wasm").to_vec()
}

fn assignor() -> Vec<u8> {
    include_bytes!("../hostile-assignor/hostile-assignor.wasm").to_vec()
}

fn wasi() -> Vec<u8> {
    include_bytes!("../wasi/wasi.wasm").to_vec()
}

fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).expect("the text of a guest is well-formed")
}

fn unknown_import() -> Vec<u8> {
    text(r#"(component (import "acme:billing/charge@1.0.0" (instance (export "charge" (func)))))"#)
}

fn no_hooks() -> Vec<u8> {
    text("(component)")
}

fn two_kinds() -> Vec<u8> {
    text(
        r#"(component
            (instance $none)
            (export "weir:plugin/producer-hooks@1.0.0" (instance $none))
            (export "weir:plugin/assignor-hooks@1.0.0" (instance $none)))"#,
    )
}

fn hollow_hooks() -> Vec<u8> {
    text(r#"(component (instance $none) (export "weir:plugin/producer-hooks@1.0.0" (instance $none)))"#)
}

fn later_contract() -> Vec<u8> {
    text(r#"(component (instance $none) (export "weir:plugin/producer-hooks@2.0.0" (instance $none)))"#)
}

fn truncated() -> Vec<u8> {
    PASS_FLAT[..PASS_FLAT.len() / 2].to_vec()
}

fn damaged() -> Vec<u8> {
    let mut bytes = PASS_FLAT.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bytes
}

/// A custom section takes up the room: what it says is nobody's business, and it is valid.
fn too_large() -> Vec<u8> {
    const BYTES: usize = 60 << 20;
    const NAME: &[u8] = b"\x04room";
    let mut bytes = PASS_FLAT.to_vec();
    bytes.push(0);
    let mut rest = NAME.len() + BYTES;
    while rest >= 0x80 {
        bytes.push(0x80 | rest.to_le_bytes()[0]);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes.extend_from_slice(NAME);
    bytes.resize(bytes.len() + BYTES, 0);
    bytes
}

fn bare_module() -> Vec<u8> {
    text(r#"(module (func (export "on-send")))"#)
}

fn no_wasm() -> Vec<u8> {
    b"#!/bin/sh\nexit 0\n".to_vec()
}

fn empty() -> Vec<u8> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_have_names_of_their_own_and_bytes() {
        let mut names: Vec<_> = GUESTS.iter().map(|guest| guest.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), GUESTS.len());
        for guest in GUESTS.iter().filter(|guest| guest.name != "is_empty") {
            assert!(!guest.component().is_empty(), "{}", guest.name);
        }
        assert_eq!(Guest::named("loops").options(), [("mode".to_owned(), "loops".to_owned())]);
        assert_eq!(Guest::named("is_empty").options(), []);
    }

    /// A mode that its guest does not know would be a guest that does nothing wrong.
    #[test]
    fn modes_are_known_to_their_guests() {
        let sources = [
            include_str!("../hostile-producer/src/lib.rs"),
            include_str!("../hostile-consumer/src/lib.rs"),
            include_str!("../hostile-partitioner/src/lib.rs"),
            include_str!("../hostile-assignor/src/lib.rs"),
            include_str!("../hostile-typed-producer/src/lib.rs"),
            include_str!("../hostile-typed-consumer/src/lib.rs"),
            include_str!("../hostile-typed-partitioner/src/lib.rs"),
        ];
        for guest in GUESTS.iter().filter(|guest| !guest.mode.is_empty()) {
            // A guest that behaves until later says so in front of what it does then.
            let quoted = format!("\"{}\"", guest.mode.trim_start_matches("later-"));
            assert!(sources.iter().any(|source| source.contains(&quoted)), "{} says {quoted}", guest.name);
        }
    }
}
