//! The plugins that ship: their committed components are part of the program, so that using them needs no push.

use bytes::Bytes;
use weir_wire::plugin::{PluginDigest, PluginKind, PluginShape};

use crate::plugins::{Grants, Plugins, digest_of};

/// The version of all of them: this program's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        /// Their names and bytes, by name.
        const FILES: &[(&str, &[u8])] = &[
            $(($name, include_bytes!(concat!("../../../plugins/", $name, "/", $name, ".wasm")))),+
        ];
    };
}

shipped!("filter", "hash", "murmur2", "range", "redact", "require-json", "roundrobin", "stamp", "sticky");

/// A plugin that ships.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its bytes.
    pub component: Bytes,
    /// Which bytes they are.
    pub digest: PluginDigest,
    /// What it is for.
    pub kind: PluginKind,
    /// How it gets its records.
    pub shape: PluginShape,
}

/// All plugins that ship, by name.
pub(super) fn all() -> Vec<Shipped> {
    let describe = |(name, bytes): &(&'static str, &'static [u8])| {
        let component = Bytes::from_static(bytes);
        let examined = Plugins::examine(&component, Grants::default()).ok()?;
        let digest = digest_of(bytes);
        Some(Shipped { name, component, digest, kind: examined.0, shape: examined.1 })
    };
    FILES.iter().filter_map(describe).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_ships_is_whole_and_of_the_kinds_that_its_names_say() {
        let lines: Vec<String> = all()
            .iter()
            .map(|plugin| format!("{} {} {}\n", plugin.name, plugin.kind.name(), plugin.shape.name()))
            .collect();
        expect![[r#"
            filter producer interceptor flat
            hash partitioner flat
            murmur2 partitioner flat
            range assignor typed
            redact producer interceptor flat
            require-json producer interceptor flat
            roundrobin assignor typed
            stamp producer interceptor flat
            sticky partitioner flat
        "#]]
        .assert_eq(&lines.concat());
    }
}
