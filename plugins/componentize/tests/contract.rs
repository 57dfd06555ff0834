//! The contract is well-formed.

use wit_parser::Resolve;

#[test]
fn the_contract_parses() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk-wasm/wit"))
        .expect("the contract parses");
    assert_eq!(resolve.packages[package].worlds.len(), 7);
}
