//! Turning a type into a component's exports.

/// Makes a plugin the export of this component: `export!(MyPlugin as producer_interceptor)`, or
/// `consumer_interceptor`, `partitioner`, `assignor`. It stands once, in a crate of the type `cdylib`.
///
/// Built for anything but WebAssembly it only checks that the type implements the trait, so that `cargo test` needs
/// no WebAssembly target.
///
/// ```
/// use weir_plugin::{Context, Edits, ProducedBatch, ProducerInterceptor, Result};
///
/// /// Lets nothing through that has no key.
/// struct Keyed;
///
/// impl ProducerInterceptor for Keyed {
///     fn configure(context: &Context) -> Result<Keyed> {
///         context.options.allow(&[])?;
///         Ok(Keyed)
///     }
///
///     fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
///         for record in batch.records().filter(|record| record.key.is_none()) {
///             edits.reject(record.index, 1, "this topic takes records with a key only");
///         }
///         Ok(())
///     }
/// }
///
/// weir_plugin::export!(Keyed as producer_interceptor);
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:ty as producer_interceptor) => {
        $crate::export_checked!($plugin: ProducerInterceptor, __export_producer);
    };
    ($plugin:ty as consumer_interceptor) => {
        $crate::export_checked!($plugin: ConsumerInterceptor, __export_consumer);
    };
    ($plugin:ty as partitioner) => {
        $crate::export_checked!($plugin: Partitioner, __export_partitioner);
    };
    ($plugin:ty as assignor) => {
        $crate::export_checked!($plugin: Assignor, __export_assignor);
    };
}

/// The half of [`export!`] that is the same for every kind.
#[doc(hidden)]
#[macro_export]
macro_rules! export_checked {
    ($plugin:ty: $hooks:ident, $for_wasm:ident) => {
        const _: fn() = || {
            fn is_plugin<P: $crate::$hooks>() {}
            is_plugin::<$plugin>();
        };
        #[cfg(target_family = "wasm")]
        $crate::$for_wasm!($plugin);
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_producer {
    ($plugin:ty) => {
        #[allow(missing_docs, unsafe_code, clippy::all, reason = "generated")]
        const _: () = {
            use $crate::guest;
            use $crate::guest::bindings::producer as bindings;

            ::std::thread_local! {
                static SLOT: guest::Slot<$plugin> = const { guest::Slot::new(::std::option::Option::None) };
            }

            struct Component;

            impl bindings::exports::weir::plugin::producer_hooks_flat::Guest for Component {
                fn configure(context: guest::types::Context) -> guest::Wants {
                    SLOT.with(|slot| guest::configure_producer(slot, context))
                }

                fn on_send(batch: guest::types::ProducedBatch, records: guest::List<u8>) -> guest::Answer {
                    SLOT.with(|slot| guest::on_send(slot, &batch, &records))
                }

                fn on_acknowledgement(
                    batch: guest::types::ProducedBatch,
                    outcomes: guest::List<guest::types::Outcome>,
                    runs: guest::List<guest::types::OutcomeRun>,
                ) {
                    SLOT.with(|slot| guest::on_acknowledgement(slot, &batch, outcomes, &runs))
                }

                fn close() {
                    SLOT.with(guest::close_producer)
                }
            }

    bindings::export!(Component with_types_in $crate::guest::bindings::producer);
        };
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_consumer {
    ($plugin:ty) => {
        #[allow(missing_docs, unsafe_code, clippy::all, reason = "generated")]
        const _: () = {
            use $crate::guest;
            use $crate::guest::bindings::consumer as bindings;

            ::std::thread_local! {
                static SLOT: guest::Slot<$plugin> = const { guest::Slot::new(::std::option::Option::None) };
            }

            struct Component;

            impl bindings::exports::weir::plugin::consumer_hooks_flat::Guest for Component {
                fn configure(context: guest::types::Context) -> guest::Wants {
                    SLOT.with(|slot| guest::configure_consumer(slot, context))
                }

                fn on_consume(batch: guest::types::FetchedBatch, records: guest::List<u8>) -> guest::Answer {
                    SLOT.with(|slot| guest::on_consume(slot, &batch, &records))
                }

                fn on_commit(group: guest::Text, positions: guest::List<guest::types::Position>) {
                    SLOT.with(|slot| guest::on_commit(slot, &group, &positions))
                }

                fn close() {
                    SLOT.with(guest::close_consumer)
                }
            }

    bindings::export!(Component with_types_in $crate::guest::bindings::consumer);
        };
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_partitioner {
    ($plugin:ty) => {
        #[allow(missing_docs, unsafe_code, clippy::all, reason = "generated")]
        const _: () = {
            use $crate::guest;
            use $crate::guest::bindings::partitioner as bindings;

            ::std::thread_local! {
                static SLOT: guest::Slot<$plugin> = const { guest::Slot::new(::std::option::Option::None) };
            }

            struct Component;

            impl bindings::exports::weir::plugin::partitioner_hooks_flat::Guest for Component {
                fn configure(context: guest::types::Context) -> guest::Wants {
                    SLOT.with(|slot| guest::configure_partitioner(slot, context))
                }

                fn partition(
                    batch: guest::types::ProducedBatch,
                    keys: guest::List<u8>,
                    lengths: guest::List<i32>,
                ) -> guest::Partitions {
                    SLOT.with(|slot| guest::partition(slot, &batch, &keys, &lengths))
                }

                fn close() {
                    SLOT.with(guest::close_partitioner)
                }
            }

    bindings::export!(Component with_types_in $crate::guest::bindings::partitioner);
        };
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_assignor {
    ($plugin:ty) => {
        #[allow(missing_docs, unsafe_code, clippy::all, reason = "generated")]
        const _: () = {
            use $crate::guest;
            use $crate::guest::bindings::assignor as bindings;

            ::std::thread_local! {
                static SLOT: guest::Slot<$plugin> = const { guest::Slot::new(::std::option::Option::None) };
            }

            struct Component;

            impl bindings::exports::weir::plugin::assignor_hooks::Guest for Component {
                fn configure(options: guest::types::Options) -> guest::Wants {
                    SLOT.with(|slot| guest::configure_assignor(slot, options))
                }

                fn assign(
                    members: guest::List<guest::contract_assignor::Member>,
                    topics: guest::List<guest::contract_assignor::Topic>,
                ) -> guest::Shares {
                    SLOT.with(|slot| guest::assign(slot, members, topics))
                }

                fn close() {
                    SLOT.with(guest::close_assignor)
                }
            }

    bindings::export!(Component with_types_in $crate::guest::bindings::assignor);
        };
    };
}
