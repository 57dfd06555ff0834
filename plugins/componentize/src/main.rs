//! `weir-componentize < module.wasm > component.wasm`: wraps a core module that was built with the plugin SDK, whose
//! metadata says which interfaces it imports and exports, into a component. The same bytes in give the same bytes out.

use std::io::{Read, Write, stderr, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result};
use wit_component::ComponentEncoder;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "weir-componentize: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut module = Vec::new();
    stdin().lock().read_to_end(&mut module).context("the module cannot be read from stdin")?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .context("the module does not become a component: was it built with weir-plugin and export!?")?;
    stdout().lock().write_all(&component).context("the component cannot be written to stdout")
}
