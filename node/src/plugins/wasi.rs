//! An empty WASI, for language runtimes that cannot start without one: no files, no network, no environment, a frozen
//! clock. Whatever it does not define traps when it is called.

use wasmtime::component::{Component, Linker};

use super::contract::State;

pub(super) fn add_to_linker(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    linker.define_unknown_imports_as_traps(component)
}
