//! An empty WASI, for language runtimes that cannot start without one: no files, no network, no environment, a clock
//! that stands still, random numbers that are always the same, and output that goes nowhere.
//!
//! Every function that a component imports of `wasi:` is defined, whatever its version: the few that runtimes call on
//! their way up answer "there is nothing", the others trap and say their name. Nothing of it reaches the machine.

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, Resource, ResourceType, Val};

use super::contract::State;

/// The seed of the random numbers: hooks must be pure, so it is the same for every instance.
pub(super) const SEED: u64 = 0;
/// The most random bytes that one call gives.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;
/// How much an output that goes nowhere takes at once.
const OUTPUT_ROOM: u64 = 64 * 1024;

/// What every WASI resource is here.
struct Nothing;

/// Defines everything that a component imports of WASI.
pub(super) fn add_to_linker(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine().clone();
    for (import, item) in component.component_type().imports(&engine) {
        let (Some(interface), ComponentItem::ComponentInstance(instance)) =
            (import.strip_prefix("wasi:"), item.ty)
        else {
            continue;
        };
        let interface = interface.split('@').next().unwrap_or_default().to_owned();
        let mut defined = linker.instance(import)?;
        for (name, item) in instance.exports(&engine) {
            match item.ty {
                ComponentItem::Resource(_) => {
                    defined.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => {
                    let (interface, function) = (interface.clone(), name.to_owned());
                    defined.func_new(name, move |store, _, arguments, results| {
                        let Some(result) = results.first_mut() else {
                            // Nothing to answer, so nothing that could be missing: an exit is the exception.
                            return if function == "exit" {
                                Err(missing(&interface, &function))
                            } else {
                                Ok(())
                            };
                        };
                        *result = answer(store, &interface, &function, arguments)?;
                        Ok(())
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn missing(interface: &str, function: &str) -> wasmtime::Error {
    wasmtime::format_err!("the empty WASI has no wasi:{interface} {function}")
}

fn answer(
    mut store: StoreContextMut<'_, State>,
    interface: &str,
    function: &str,
    arguments: &[Val],
) -> wasmtime::Result<Val> {
    let done = || Val::Result(Ok(None));
    let nothing = |store: StoreContextMut<'_, State>| -> wasmtime::Result<Val> {
        let resource = Resource::<Nothing>::new_own(0).try_into_resource_any(store)?;
        Ok(Val::Resource(resource))
    };
    Ok(match (interface, function) {
        ("cli/environment", "get-environment" | "get-arguments")
        | ("filesystem/preopens", "get-directories") => Val::List(Vec::new()),
        ("cli/environment", "initial-cwd" | "get-initial-cwd") => Val::Option(None),
        ("cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr", _) => Val::Option(None),
        ("clocks/monotonic-clock", "now") => Val::U64(0),
        ("clocks/monotonic-clock", "resolution") => Val::U64(1),
        ("clocks/wall-clock", _) => {
            Val::Record(vec![("seconds".to_owned(), Val::U64(0)), ("nanoseconds".to_owned(), Val::U32(0))])
        }
        ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => {
            Val::U64(store.data_mut().random())
        }
        ("random/random", "get-random-bytes") | ("random/insecure", "get-insecure-random-bytes") => {
            let Some(Val::U64(count @ 0..=RANDOM_BYTES_MAX)) = arguments.first() else {
                return Err(missing(interface, function));
            };
            let state = store.data_mut();
            Val::List((0..*count).map(|_| Val::U8(state.random().to_le_bytes()[0])).collect())
        }
        ("random/insecure-seed", _) => {
            let state = store.data_mut();
            Val::Tuple(vec![Val::U64(state.random()), Val::U64(state.random())])
        }
        ("cli/stdin" | "cli/stdout" | "cli/stderr", _) | ("sockets/instance-network", _) => nothing(store)?,
        ("io/streams", "[method]output-stream.check-write") => {
            Val::Result(Ok(Some(Box::new(Val::U64(OUTPUT_ROOM)))))
        }
        (
            "io/streams",
            "[method]output-stream.write"
            | "[method]output-stream.blocking-write-and-flush"
            | "[method]output-stream.flush"
            | "[method]output-stream.blocking-flush",
        ) => done(),
        ("io/streams", "[method]input-stream.read" | "[method]input-stream.blocking-read") => {
            Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))))
        }
        _ => return Err(missing(interface, function)),
    })
}

impl State {
    /// The next number of a fixed sequence (SplitMix64; Steele, Lea and Flood 2014).
    fn random(&mut self) -> u64 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random_state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
