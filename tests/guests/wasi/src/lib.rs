//! A producer interceptor that imports WASI and rejects each batch's first record with what it got out of it. The
//! interfaces here are the parts of WASI 0.2 that it uses.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../sdk-wasm/wit",
        inline: r#"
            package weir:guests;

            world tries {
                include weir:plugin/producer-interceptor-flat@1.0.0;
                import wasi:cli/environment@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.0;
                import wasi:clocks/wall-clock@0.2.0;
                import wasi:filesystem/preopens@0.2.0;
                import wasi:random/random@0.2.0;
                import wasi:sockets/instance-network@0.2.0;
            }

            package wasi:cli@0.2.0 {
                interface environment {
                    get-environment: func() -> list<tuple<string, string>>;
                }
            }

            package wasi:clocks@0.2.0 {
                interface monotonic-clock {
                    type instant = u64;
                    now: func() -> instant;
                }
                interface wall-clock {
                    record datetime { seconds: u64, nanoseconds: u32 }
                    now: func() -> datetime;
                }
            }

            package wasi:filesystem@0.2.0 {
                interface types {
                    resource descriptor;
                }
                interface preopens {
                    use types.{descriptor};
                    get-directories: func() -> list<tuple<descriptor, string>>;
                }
            }

            package wasi:random@0.2.0 {
                interface random {
                    get-random-u64: func() -> u64;
                }
            }

            package wasi:sockets@0.2.0 {
                interface network {
                    resource network;
                }
                interface instance-network {
                    use network.{network};
                    instance-network: func() -> network;
                }
            }
        "#,
        world: "weir:guests/tries",
        generate_all,
    });
}

use bindings::exports::weir::plugin::producer_hooks_flat::{
    Context, FlatAnswer, Guest, Outcome, OutcomeRun, ProducedBatch,
};
use bindings::wasi;
use bindings::weir::plugin::flat::{Edit, EditAction};
use bindings::weir::plugin::types::Rejection;

struct Tries;

impl Guest for Tries {
    fn configure(_: Context) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn on_send(_: ProducedBatch, _: Vec<u8>) -> Result<FlatAnswer, String> {
        let reason = format!(
            "environment {}, folders {}, clock {} and {}, random {}",
            wasi::cli::environment::get_environment().len(),
            wasi::filesystem::preopens::get_directories().len(),
            wasi::clocks::monotonic_clock::now(),
            wasi::clocks::wall_clock::now().seconds,
            wasi::random::random::get_random_u64(),
        );
        drop(wasi::sockets::instance_network::instance_network());
        Ok(FlatAnswer {
            edits: vec![Edit { index: 0, action: EditAction::Reject, argument: 0 }],
            bytes: Vec::new(),
            rejections: vec![Rejection { code: 1, reason }],
            append_headers: Vec::new(),
        })
    }

    fn on_acknowledgement(_: ProducedBatch, _: Vec<Outcome>, _: Vec<OutcomeRun>) {}

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Tries with_types_in bindings);
};
