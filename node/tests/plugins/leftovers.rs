//! What guests leave behind: nothing in the pool, and a figure of the most that they had.

use std::time::Duration;

use weir_guests::{GUESTS, Guest};
use weir_node::plugins::{Engines, Grants, Kind, Plugins, Purpose};

use crate::hostile::{assigned, fetched, instances_come_down_to};
use crate::observing::{acknowledgement, commit};
use crate::support::{alone, binding, context, host, host_with, load, reopen, run, shared_blobs};

/// What a failed call had is seen, though its instance is gone: the next call waits until so much is free.
#[tokio::test]
async fn the_memory_of_failed_calls_is_seen() {
    let plugins = host();
    for name in ["grows", "grows_after_its_trial", "grows_in_configure"] {
        let guest = Guest::named(name);
        let loaded = load(&plugins, guest.component()).await.unwrap();
        let config = binding(&loaded, name, &guest.options());
        let limit = config.limits.memory_bytes as u64;
        let pipeline = reopen(&plugins, alone(config)).await;
        run(&pipeline, &["a"], &context()).await;
        let high = pipeline.snapshots()[0].memory_high_bytes;
        // It takes a mebibyte and a little at a time.
        assert!((limit - (2 << 20)..=limit).contains(&high), "{name}: {high} of {limit}");
    }
}

/// Does one call of each hook that a guest has, where it gets as far as that.
async fn called(plugins: &Plugins, guest: &Guest) -> bool {
    let Ok(component) = Plugins::component(guest.component().into()) else { return false };
    let Ok(loaded) = plugins.load(component, Grants { wasi: true }, Purpose::Run).await else { return false };
    let mut config = binding(&loaded, guest.name, &guest.options());
    // Most spoil one instance with each call; a long one shows no more than a short one.
    config.limits.call_time = Duration::from_millis(10);
    if loaded.kind() == Kind::Assignor {
        assigned(plugins, config).await;
        return true;
    }
    let pipeline = reopen(plugins, alone(config)).await;
    if loaded.kind() == Kind::ConsumerInterceptor {
        fetched(&pipeline).await;
        pipeline.committed(commit());
    } else {
        run(&pipeline, &["a"], &context()).await;
        pipeline.acknowledged(acknowledgement());
    }
    instances_come_down_to(&pipeline, 0).await;
    let [figures] = &pipeline.snapshots()[..] else { panic!("one plugin is bound") };
    assert_eq!(figures.instances, 0, "{}", guest.name);
    true
}

/// After any guest, everything that it held is free again: the pool has all its slots.
#[tokio::test]
async fn nothing_stays_behind() {
    // Engines that no other test uses, so that their pools are empty in between.
    let engines = Engines::real().unwrap();
    let plugins = host_with(engines.clone(), shared_blobs());
    let mut count = 0;
    for guest in GUESTS {
        let is_called = called(&plugins, guest).await;
        count += usize::from(is_called);
        // An observing call may be about to give its instance back.
        let coming_down = async {
            while engines.live_instances() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let live = || format!("{} of {} live", engines.live_instances(), guest.name);
        tokio::time::timeout(Duration::from_secs(30), coming_down)
            .await
            .unwrap_or_else(|_| panic!("{}", live()));
    }
    assert!(count > 60, "{count} guests were called");
}
