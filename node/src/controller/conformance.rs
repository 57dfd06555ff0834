//! openraft's own suite for storage, on the real and on the simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};

use super::log_store::LogStore;
use super::state_machine::StateMachine;
use super::types::{RaftNode, Types};
use crate::outside::Outside;
use crate::storage::{Disk, InlineWorkers, RealDisk, SimDisk, ThreadWorkers, Workers};

struct Builder<D> {
    disk: fn() -> (D, Arc<dyn Disk>, PathBuf),
    workers: fn() -> Arc<dyn Workers>,
}

impl<D: Send + Sync> StoreBuilder<Types, LogStore, StateMachine, D> for Builder<D> {
    async fn build(&self) -> Result<(D, LogStore, StateMachine), StorageError<RaftNode>> {
        let (guard, disk, root) = (self.disk)();
        let outside = Outside { disk, workers: (self.workers)(), ..Outside::real().unwrap() };
        let folder = root.join("metadata");
        let log = LogStore::open(&outside, &folder).await.unwrap();
        let (machine, _) = StateMachine::open(&outside, &folder, None).unwrap();
        Ok((guard, log, machine))
    }
}

#[test]
fn openrafts_suite_passes_on_the_real_disk() {
    let disk = || {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        (folder, Arc::new(RealDisk) as Arc<dyn Disk>, root)
    };
    let workers = || Arc::new(ThreadWorkers::start("test", 1).unwrap()) as Arc<dyn Workers>;
    Suite::test_all(Builder { disk, workers }).unwrap();
}

#[test]
fn openrafts_suite_passes_on_the_simulated_disk() {
    let disk = || {
        let disk = SimDisk::new(11);
        disk.create_dir_all(Path::new("/data")).unwrap();
        ((), Arc::new(disk) as Arc<dyn Disk>, PathBuf::from("/data"))
    };
    let workers = || Arc::new(InlineWorkers) as Arc<dyn Workers>;
    Suite::test_all(Builder { disk, workers }).unwrap();
}
