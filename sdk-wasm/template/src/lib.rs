//! The project that `weir plugins new NAME --kind KIND` writes: a plugin that builds, does something, and has a test
//! that shows how to test it. It carries its SDK along, so it fits the node that wrote it and needs no registry of
//! its own.
//!
//! Files are text here, and writing them is the caller's.

use std::fmt;
use std::str::FromStr;

/// A kind of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is stored.
    ProducerInterceptor,
    /// What a consumer gets.
    ConsumerInterceptor,
    /// Which partition a record goes to.
    Partitioner,
    /// Which member of a group reads which partition.
    Assignor,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] =
        [Kind::ProducerInterceptor, Kind::ConsumerInterceptor, Kind::Partitioner, Kind::Assignor];

    /// What it is called on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::ProducerInterceptor => "producer-interceptor",
            Kind::ConsumerInterceptor => "consumer-interceptor",
            Kind::Partitioner => "partitioner",
            Kind::Assignor => "assignor",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Kind::ProducerInterceptor => include_str!("../project/producer_interceptor.rs"),
            Kind::ConsumerInterceptor => include_str!("../project/consumer_interceptor.rs"),
            Kind::Partitioner => include_str!("../project/partitioner.rs"),
            Kind::Assignor => include_str!("../project/assignor.rs"),
        }
    }

    /// How such a plugin is bound, behind `weir`.
    fn binding(self) -> &'static str {
        match self {
            Kind::ProducerInterceptor => "plugins bind TOPIC --interceptor NAME",
            Kind::ConsumerInterceptor => "plugins bind TOPIC --consumer-interceptor NAME",
            Kind::Partitioner => "plugins bind TOPIC --partitioner NAME",
            Kind::Assignor => "groups set-assignor GROUP NAME@0.1.0",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            format!("'{text}' is no kind of plugin: it is one of {}", Kind::ALL.map(Kind::name).join(", "))
        })
    }
}

/// A file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path within the project's folder, with `/`.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// The files of a new project.
///
/// # Errors
/// If the name cannot be a package's; the sentence says what can.
pub fn project(name: &str, kind: Kind) -> Result<Vec<File>, String> {
    check_name(name)?;
    let filled = |text: &str| {
        text.replace("@NAME@", name)
            .replace("@FILE@", &name.replace('-', "_"))
            .replace("@KIND@", kind.name())
            .replace("@BIND@", &kind.binding().replace("NAME", name))
    };
    let own = [
        ("Cargo.toml", include_str!("../project/manifest.toml")),
        ("README.md", include_str!("../project/readme.md")),
        (".gitignore", "/target\n"),
        ("src/lib.rs", kind.source()),
        ("weir-plugin/Cargo.toml", include_str!("../project/sdk.toml")),
    ];
    let own = own.map(|(path, text)| File { path: path.to_owned(), text: filled(text) });
    let sdk =
        SDK.iter().map(|(path, text)| File { path: format!("weir-plugin/{path}"), text: (*text).to_owned() });
    Ok(own.into_iter().chain(sdk).collect())
}

fn check_name(name: &str) -> Result<(), String> {
    const RESERVED: [&str; 8] =
        ["test", "core", "std", "alloc", "proc-macro", "weir-plugin", "self", "super"];
    const NAME_BYTES_MAX: usize = 64;
    let is_legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let fits = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(is_legal);
    if !fits {
        return Err(format!(
            "'{name}' is no name for a plugin: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, a letter first, no - last"
        ));
    }
    if RESERVED.contains(&name) {
        return Err(format!("'{name}' means something else to Rust: choose another name"));
    }
    Ok(())
}

/// Files of the SDK, by their path in it.
macro_rules! sdk {
    ($($path:literal),+ $(,)?) => { &[$(($path, include_str!(concat!("../../", $path)))),+] };
}

const SDK: &[(&str, &str)] = sdk![
    "src/assignment.rs",
    "src/context.rs",
    "src/edits.rs",
    "src/error.rs",
    "src/export.rs",
    "src/guest.rs",
    "src/heap.rs",
    "src/hooks.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/metrics.rs",
    "src/outcomes.rs",
    "src/records.rs",
    "src/testing/binding.rs",
    "src/testing/golden.rs",
    "src/testing/group.rs",
    "src/testing/mod.rs",
    "src/testing/record.rs",
    "src/testing/rules.rs",
    "src/varint.rs",
    "wit/assignor.wit",
    "wit/consumer.wit",
    "wit/host.wit",
    "wit/package.wit",
    "wit/partitioner.wit",
    "wit/producer.wit",
    "wit/types.wit",
    "wit/worlds.wit",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_names_its_plugin_everywhere() {
        for kind in Kind::ALL {
            let files = project("drop-tests", kind).unwrap();
            for File { path, text } in files.iter().filter(|file| !file.path.starts_with("weir-plugin/")) {
                let is_place = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase());
                assert!(
                    !text.split('@').any(is_place),
                    "{kind}: {path} has a place that was not filled: {text}"
                );
            }
            assert!(files[0].text.contains("name = \"drop-tests\""));
            assert!(files[1].text.contains("release/drop_tests.wasm"));
        }
    }

    #[test]
    fn names_are_checked() {
        for name in ["", "-a", "a-", "1a", "A", "a_b", "a b", "../a", "test", &"a".repeat(65)] {
            assert!(project(name, Kind::Assignor).is_err(), "{name}");
        }
        let said = project("My Plugin", Kind::Assignor).unwrap_err();
        assert_eq!(
            said,
            "'My Plugin' is no name for a plugin: 1 to 64 of a-z, 0-9 and -, a letter first, no - last"
        );
    }

    #[test]
    fn kinds_are_read_by_their_names() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!(
            "interceptor".parse::<Kind>().unwrap_err(),
            "'interceptor' is no kind of plugin: it is one of producer-interceptor, consumer-interceptor, \
             partitioner, assignor"
        );
    }
}
