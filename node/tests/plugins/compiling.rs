//! A component that takes the compiler too long holds nobody up for ever.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use weir_guests::{CONTRACT_1_0, PASS_FLAT, PASS_TYPED};
use weir_node::outside::Outside;
use weir_node::plugins::Plugins;
use weir_node::storage::{Job, Workers};

use crate::support::{Blobs, engines, load};

/// Workers that do everything at once but one job, which they keep.
struct Keeping {
    /// How many come before the one that is kept.
    before: AtomicUsize,
    kept: Mutex<Option<Job>>,
}

impl Workers for Keeping {
    fn run(&self, job: Job) {
        if self.before.fetch_sub(1, Ordering::SeqCst) == 0 {
            *self.kept.lock().unwrap() = Some(job);
        } else {
            job();
        }
    }
}

/// The time is tokio's own, which goes on by itself when nothing else does.
#[tokio::test(start_paused = true)]
async fn a_compiler_that_does_not_end_is_not_waited_for() {
    // Three jobs for each component: to look at the file, to look into the cache, to compile. The sixth is kept.
    let workers = Arc::new(Keeping { before: AtomicUsize::new(5), kept: Mutex::default() });
    let outside = Outside { workers: Arc::clone(&workers) as _, ..Outside::real().unwrap() };
    let plugins = Plugins::start(engines(), outside, Arc::new(Blobs::default())).unwrap();
    load(&plugins, PASS_FLAT).await.unwrap();
    let refused = |component: &'static [u8]| {
        let plugins = plugins.clone();
        async move { load(&plugins, Bytes::from_static(component)).await.map(|_| ()).unwrap_err() }
    };
    assert_eq!(refused(PASS_TYPED).await, "the component was not compiled within 120 s; make it smaller");
    assert_eq!(
        refused(CONTRACT_1_0).await,
        "other components were compiled first, for more than the 120 s that one waits for them; try again later"
    );
    load(&plugins, PASS_FLAT).await.expect("what was compiled before is read");

    let kept = workers.kept.lock().unwrap().take().expect("the compilation is kept");
    kept();
    load(&plugins, CONTRACT_1_0).await.expect("the compiler is free again");
    load(&plugins, PASS_TYPED).await.expect("what took too long is done by now");
}
