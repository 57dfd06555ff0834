//! Compiled code, kept on disk: compiling a language runtime takes many seconds, reading it back a few milliseconds.
//!
//! Compiled code runs with the rights of the node, so an entry is believed only if this node wrote it: the folder is
//! private, and every entry carries a keyed checksum whose key was made here and never left. The key of the checksum
//! covers the component's digest and the engine's settings too, so an entry of another engine, under another name or
//! damaged is noticed, and compiled again.
//!
//! ```text
//!  magic 8 | version 4 | HMAC-SHA-256 over (digest, engine, code) 32 | code
//! ```

use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use weir_wire::plugin::PluginDigest;

use crate::outside::BlobStore;

/// Which bytes these are.
#[must_use]
pub fn digest_of(component: &[u8]) -> PluginDigest {
    PluginDigest(Sha256::digest(component).into())
}

/// The length of the key of the checksums.
pub(super) const KEY_BYTES: usize = 32;
/// The name of the key among the blobs.
pub(super) const KEY_NAME: &str = "key";
const MAGIC: [u8; 8] = *b"weircwsm";
const VERSION: [u8; 4] = 1_u32.to_le_bytes();
const MAC_BYTES: usize = 32;
const PREFIX_BYTES: usize = MAGIC.len() + VERSION.len() + MAC_BYTES;

/// Code that this node compiled.
pub(super) struct Code {
    entry: Vec<u8>,
    from: usize,
}

impl Code {
    /// What this node's engine made a moment ago, where the disk does not keep it.
    pub(super) fn just_made(code: &[u8]) -> Code {
        Code { entry: code.to_vec(), from: 0 }
    }
}

impl AsRef<[u8]> for Code {
    fn as_ref(&self) -> &[u8] {
        &self.entry[self.from..]
    }
}

/// The compiled components of one node.
pub(super) struct Cache {
    blobs: Arc<dyn BlobStore>,
    key: [u8; KEY_BYTES],
}

impl Cache {
    /// The cache, with the key that is there or, if none is, a new one.
    pub(super) fn open(
        blobs: Arc<dyn BlobStore>,
        random: impl FnOnce() -> [u8; KEY_BYTES],
    ) -> io::Result<Cache> {
        let key = match blobs.read(KEY_NAME)?.map(<[u8; KEY_BYTES]>::try_from) {
            Some(Ok(key)) => key,
            // A key that is no key: what it signed is lost, and will be compiled again.
            Some(Err(_)) | None => {
                let key = random();
                blobs.write(KEY_NAME, &key)?;
                key
            }
        };
        Ok(Cache { blobs, key })
    }

    /// The code of a component for an engine, if there is an entry that this node wrote.
    pub(super) fn get(&self, digest: &PluginDigest, engine: &Engine) -> Option<Code> {
        let name = name(digest, engine);
        let entry = match self.blobs.read(&name) {
            Ok(entry) => entry?,
            Err(error) => {
                tracing::warn!(%error, name, "compiled code cannot be read; it is compiled again");
                return None;
            }
        };
        match self.check(digest, engine, &entry) {
            Some(from) => Some(Code { entry, from }),
            None => {
                tracing::warn!(name, "compiled code is damaged or not this node's; it is compiled again");
                None
            }
        }
    }

    /// Keeps the code of a component for an engine. Failing costs time at the next start, nothing else.
    pub(super) fn put(&self, digest: &PluginDigest, engine: &Engine, code: &[u8]) {
        let name = name(digest, engine);
        let mut entry = Vec::with_capacity(PREFIX_BYTES + code.len());
        entry.extend_from_slice(&MAGIC);
        entry.extend_from_slice(&VERSION);
        entry.extend_from_slice(&self.mac(digest, engine, code).finalize().into_bytes());
        entry.extend_from_slice(code);
        if let Err(error) = self.blobs.write(&name, &entry) {
            tracing::warn!(%error, name, "compiled code cannot be kept; the next start compiles it again");
        }
    }

    /// Where the code of an entry begins, if the entry is what this node wrote.
    fn check(&self, digest: &PluginDigest, engine: &Engine, entry: &[u8]) -> Option<usize> {
        let rest = entry.strip_prefix(&MAGIC)?.strip_prefix(&VERSION)?;
        let (mac, code) = rest.split_at_checked(MAC_BYTES)?;
        // The comparison takes the same time wherever they differ.
        self.mac(digest, engine, code).verify_slice(mac).ok()?;
        Some(PREFIX_BYTES)
    }

    fn mac(&self, digest: &PluginDigest, engine: &Engine, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key length will do");
        mac.update(&digest.0);
        mac.update(&settings(engine));
        mac.update(code);
        mac
    }
}

/// The name of an entry: component and engine.
fn name(digest: &PluginDigest, engine: &Engine) -> String {
    let engine: String = settings(engine)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}-{engine}")
}

/// What decides whether code fits an engine: its version, settings, and the machine's instructions.
fn settings(engine: &Engine) -> [u8; 32] {
    struct Collect(Sha256);
    impl Hasher for Collect {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut collect = Collect(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut collect);
    collect.0.finalize().into()
}
