//! The plugins that are written build, and their tests pass; the SDK that comes with them is the one of this checkout.

#![allow(unreachable_pub, reason = "a plugin's type is public in a crate of its own")]

#[path = "../project/assignor.rs"]
mod assignor;
#[path = "../project/consumer_interceptor.rs"]
mod consumer_interceptor;
#[path = "../project/partitioner.rs"]
mod partitioner;
#[path = "../project/producer_interceptor.rs"]
mod producer_interceptor;

use std::path::Path;

use weir_plugin_template::{File, Kind, project};

#[test]
fn the_whole_sdk_comes_along() {
    let sdk = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut there = Vec::new();
    for folder in ["src", "src/testing", "wit"] {
        #[expect(clippy::disallowed_methods, reason = "a test looks at the checkout")]
        let entries = std::fs::read_dir(sdk.join(folder)).unwrap();
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.contains('.') {
                there.push(format!("weir-plugin/{folder}/{name}"));
            }
        }
    }
    there.sort();
    let files = project("p", Kind::Assignor).unwrap();
    let is_sdk = |file: &File| file.path.starts_with("weir-plugin/") && !file.path.ends_with(".toml");
    let mut written: Vec<_> = files.into_iter().filter(is_sdk).map(|file| file.path).collect();
    written.sort();
    assert_eq!(written, there);
}

#[test]
fn the_generator_is_the_one_of_the_workspace() {
    let dependency = |manifest: &str| {
        let line = manifest.lines().find(|line| line.starts_with("wit-bindgen = ")).map(str::to_owned);
        line.expect("the manifest names the generator")
    };
    let written = dependency(include_str!("../project/sdk.toml"));
    assert_eq!(written, dependency(include_str!("../../../Cargo.toml")));
}
