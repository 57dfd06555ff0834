//! Writes plugins for Weir, a stream processing node: what happens to records before they are stored, where they go,
//! and who reads them.
//!
//! A plugin is a type that implements one trait:
//!
//! | trait | decides |
//! |---|---|
//! | [`ProducerInterceptor`] | what is stored: keep, drop, replace or reject each record |
//! | [`ConsumerInterceptor`] | what a consumer gets |
//! | [`Partitioner`] | which partition a record goes to |
//! | [`Assignor`] | which member of a consumer group reads which partition |
//!
//! and [`export!`] makes it a WebAssembly component. Batches are views on the node's record bytes
//! ([`Batch::records`]): nothing is copied on the way in, and a record that is kept costs nothing on the way out.
//!
//! A plugin's tests need no node and no WebAssembly: [`testing`] hands it batches as a node does, checks its answers
//! as a node does, and runs everything twice to see that the plugin is pure.
//!
//! ```
//! use weir_plugin::{Context, Edits, ProducedBatch, ProducerInterceptor, Result, testing};
//!
//! /// Keeps records that are not longer than the option `bytes`.
//! struct Short {
//!     bytes_max: usize,
//! }
//!
//! impl ProducerInterceptor for Short {
//!     fn configure(context: &Context) -> Result<Short> {
//!         context.options.allow(&["bytes"])?;
//!         Ok(Short { bytes_max: context.options.parse("bytes", 1000)? })
//!     }
//!
//!     fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
//!         for record in batch.records() {
//!             if record.value.is_some_and(|value| value.len() > self.bytes_max) {
//!                 edits.reject(record.index, 1, format!("a value has at most {} bytes", self.bytes_max));
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! weir_plugin::export!(Short as producer_interceptor);
//!
//! use testing::{Fate, TestRecord};
//! let binding = testing::Binding::of(&[("bytes", "3")]);
//! let fates = binding.send::<Short>(&[TestRecord::of("k", "abc"), TestRecord::of("k", "abcd")])?;
//! assert_eq!(fates[0], Fate::Kept);
//! assert_eq!(fates[1], Fate::rejected(1, "a value has at most 3 bytes"));
//! # Ok::<(), weir_plugin::Error>(())
//! ```

mod assignment;
mod context;
mod edits;
mod error;
mod export;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[allow(missing_docs, reason = "called by what `export!` expands to")]
pub mod guest;
#[cfg(all(target_family = "wasm", feature = "heap"))]
mod heap;
mod hooks;
pub mod log;
pub mod metrics;
mod outcomes;
mod records;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod varint;

pub use assignment::{Assignment, Member, Topic, TopicPartitions};
pub use context::{Context, Options};
pub use edits::{Action, Answer, Content, Edit, Edits, HeaderValue, Rejection};
pub use error::{Error, Result};
pub use hooks::{Assignor, ConsumerInterceptor, Partitioner, ProducerInterceptor, Want};
pub use outcomes::{Outcome, Outcomes, Position};
pub use records::{Batch, Fetched, FetchedBatch, Headers, Keys, Produced, ProducedBatch, Record, Records};
