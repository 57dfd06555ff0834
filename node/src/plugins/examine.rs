//! What a pushed file is, told from its outermost sections before anything of it is compiled.

use wasmparser::{Chunk, Encoding, Parser, Payload};

use super::limits::{COMPONENT_BYTES_MAX, FUNCTION_BYTES_MAX};

/// The contract's package.
const PACKAGE: &str = "weir:plugin/";
/// The version of the contract that this node speaks; a plugin made for an earlier one of the same major loads too.
pub const CONTRACT_VERSION: (u64, u64, u64) = (1, 0, 0);

pub use weir_wire::plugin::{PluginKind as Kind, PluginShape as Shape};

/// The exports that make a component a plugin.
const HOOKS: [(&str, Kind, Shape); 7] = [
    ("producer-hooks", Kind::ProducerInterceptor, Shape::Typed),
    ("producer-hooks-flat", Kind::ProducerInterceptor, Shape::Flat),
    ("consumer-hooks", Kind::ConsumerInterceptor, Shape::Typed),
    ("consumer-hooks-flat", Kind::ConsumerInterceptor, Shape::Flat),
    ("partitioner-hooks", Kind::Partitioner, Shape::Typed),
    ("partitioner-hooks-flat", Kind::Partitioner, Shape::Flat),
    ("assignor-hooks", Kind::Assignor, Shape::Typed),
];
/// The interfaces that every plugin may import; the last two hold only types.
const IMPORTS: [&str; 4] = ["log", "metrics", "types", "flat"];

/// What an operator grants a plugin beyond the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grants {
    /// An empty WASI, for language runtimes that cannot do without: no files, no network, no environment, a frozen
    /// clock, seeded randomness.
    pub wasi: bool,
}

/// Why a file is not taken as a plugin. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Too large.
    #[error(
        "the component has {bytes} bytes, at most {COMPONENT_BYTES_MAX} are allowed; strip it and build it for size"
    )]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// Something else.
    #[error("this is no WebAssembly; push a component (.wasm)")]
    NotWebAssembly,
    /// Cut short, or damaged.
    #[error("the file ends in the middle of a section, at byte {at} of {bytes}; copy or build it again")]
    Truncated {
        /// Where the section begins that is not whole.
        at: usize,
        /// How long the file is.
        bytes: usize,
    },
    /// Not what its sections say.
    #[error("the file is damaged: {0}; copy or build it again")]
    Damaged(String),
    /// A core module that does not say what it implements.
    #[error(
        "this is a core module that does not say which world it implements; build it with the crate weir-plugin or wit-bindgen, or make a component of it with `wasm-tools component new`"
    )]
    CoreModule,
    /// A core module that says what it implements, but does not.
    #[error("the core module cannot be made a component: {0}")]
    Unwrappable(String),
    /// No hooks.
    #[error(
        "the component exports none of the plugin hooks (such as weir:plugin/producer-hooks){others}; build it for a world of package weir:plugin@1.0.0"
    )]
    NoHooks {
        /// What it exports instead, if anything.
        others: String,
    },
    /// More than one kind.
    #[error("the component exports the hooks of several kinds ({0}); make one component for each")]
    SeveralKinds(String),
    /// Another version of the contract.
    #[error("the component is made for version {version} of the contract, this node speaks {spoken}; {advice}", spoken = contract_version())]
    OtherContract {
        /// Which.
        version: String,
        /// What to do.
        advice: &'static str,
    },
    /// It wants what it was not granted.
    #[error(
        "the component imports {0}, which no plugin gets; a plugin may import only weir:plugin/log and weir:plugin/metrics"
    )]
    Ungranted(String),
    /// It wants WASI.
    #[error(
        "the component imports {0}; build it without WASI, or push it with --allow wasi, which grants one without files, network and environment"
    )]
    WantsWasi(String),
    /// The engine does not take it.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// It takes too long.
    #[error("the component was not compiled within {seconds} s; make it smaller")]
    CompileTime {
        /// How long was waited.
        seconds: u64,
    },
    /// Others take too long.
    #[error(
        "other components were compiled first, for more than the {seconds} s that one waits for them; try again later"
    )]
    CompileWait {
        /// How long was waited.
        seconds: u64,
    },
    /// One of its functions is too large.
    #[error(
        "a function of the component has {bytes} bytes of code, at most {FUNCTION_BYTES_MAX} are allowed; split it"
    )]
    LargeFunction {
        /// How large.
        bytes: usize,
    },
    /// Its hooks have other parameters than the contract's.
    #[error(
        "the component's hooks do not fit the contract: {0}; build it with the wit files of weir:plugin@1.0.0"
    )]
    Signature(String),
}

/// What a component is, and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Examined {
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// Whether it needs the empty WASI that it was granted.
    pub(super) wants_wasi: bool,
}

/// A file as a component: a core module that says what it implements is wrapped.
pub(super) fn component(bytes: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, LoadError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge { bytes: bytes.len() });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWebAssembly);
    }
    let outline = outline(bytes)?;
    if outline.is_component {
        return Ok(bytes.into());
    }
    if !outline.has_metadata {
        return Err(LoadError::CoreModule);
    }
    let wrapped = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| LoadError::Unwrappable(format!("{error:#}")))?;
    Ok(wrapped.into())
}

/// Says what a component is, and refuses what it may not import.
pub(super) fn examine(component: &[u8], grants: Grants) -> Result<Examined, LoadError> {
    let outline = outline(component)?;
    check_functions(component)?;
    let mut hooks = Vec::new();
    for export in &outline.exports {
        let Some((name, version)) = ours(export) else { continue };
        let known = HOOKS.iter().find(|(hooks, _, _)| *hooks == name);
        if let Some((_, kind, shape)) = known {
            check_version(version)?;
            hooks.push((export, *kind, *shape));
        }
    }
    let (kind, shape) = match hooks[..] {
        [(_, kind, shape)] => (kind, shape),
        [] => {
            let others = match outline.exports.len() {
                0 => String::new(),
                _ => format!(", but {}", outline.exports.join(", ")),
            };
            return Err(LoadError::NoHooks { others });
        }
        _ => {
            let names: Vec<_> = hooks.iter().map(|(export, _, _)| export.as_str()).collect();
            return Err(LoadError::SeveralKinds(names.join(", ")));
        }
    };
    let (wasi, others): (Vec<_>, Vec<_>) = outline
        .imports
        .iter()
        .filter(|import| ours(import).is_none_or(|(name, _)| !IMPORTS.contains(&name)))
        .map(String::as_str)
        .partition(|import| import.starts_with("wasi:"));
    if !others.is_empty() {
        return Err(LoadError::Ungranted(others.join(", ")));
    }
    if !wasi.is_empty() && !grants.wasi {
        return Err(LoadError::WantsWasi(wasi.join(", ")));
    }
    Ok(Examined { kind, shape, wants_wasi: !wasi.is_empty() })
}

/// Looks for a function that would take the compiler too long, in all modules.
fn check_functions(component: &[u8]) -> Result<(), LoadError> {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(damaged)? {
            let bytes = body.range().len();
            if bytes > FUNCTION_BYTES_MAX {
                return Err(LoadError::LargeFunction { bytes });
            }
        }
    }
    Ok(())
}

fn damaged(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Damaged(error.to_string())
}

/// The interface and version of one of our names: `weir:plugin/log@1.0.0`.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

fn check_version(version: &str) -> Result<(), LoadError> {
    let numbers: Vec<u64> = version.split('.').map_while(|number| number.parse().ok()).collect();
    let (major, minor, _) = CONTRACT_VERSION;
    let advice = match numbers[..] {
        [of, at, _] if of == major && at <= minor => return Ok(()),
        [of, _, _] if of < major => "build it for the newer contract",
        _ => "upgrade the nodes first",
    };
    Err(LoadError::OtherContract { version: version.to_owned(), advice })
}

fn contract_version() -> String {
    let (major, minor, patch) = CONTRACT_VERSION;
    format!("{major}.{minor}.{patch}")
}

/// The outermost sections of a file.
#[derive(Default)]
struct Outline {
    is_component: bool,
    /// Whether a custom section says which world a core module implements.
    has_metadata: bool,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn outline(bytes: &[u8]) -> Result<Outline, LoadError> {
    let mut outline = Outline::default();
    let mut parser = Parser::new(0);
    let mut at = 0;
    loop {
        let is_end = at == bytes.len();
        let (payload, consumed) = match parser.parse(&bytes[at..], is_end).map_err(damaged)? {
            Chunk::NeedMoreData(_) => return Err(LoadError::Truncated { at, bytes: bytes.len() }),
            Chunk::Parsed { payload, consumed } => (payload, consumed),
        };
        let mut next = at + consumed;
        match payload {
            Payload::Version { encoding, .. } => outline.is_component = encoding == Encoding::Component,
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    outline.imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    outline.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) => {
                outline.has_metadata |= section.name().starts_with("component-type");
            }
            // What is within does not matter here: go on behind it.
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => next = unchecked_range.end,
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                next += usize::try_from(size).unwrap_or(usize::MAX);
            }
            Payload::End(_) => return Ok(outline),
            _ => {}
        }
        if next > bytes.len() {
            return Err(LoadError::Truncated { at, bytes: bytes.len() });
        }
        at = next;
    }
}
