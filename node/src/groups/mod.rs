//! The coordinators of groups: [`weir_core::group`] decides, this carries it out over the partitions of
//! `__consumer_offsets`.
//!
//! ```text
//! handlers ──▶ Groups::ask(group) ──▶ seat of the group's partition ──▶ Coordinator::handle
//!                                      ▲                                  │
//!      metadata: which topics          │ committed, or not                ▼ effects
//!      view: who leads ────────────────┴──────── partition ◀── append ── answer, ask an assignor, tell a person
//! ```
//!
//! Each partition of the topic that is hosted here has a *seat*: a task that waits until the replica leads, reads what
//! its log holds, and coordinates until it leads no more or a write fails. Then it begins again: what is committed is
//! found out by reading only.
//!
//! | file | what it does |
//! |---|---|
//! | `topic` | the topic, made on first use |
//! | `seat` | waiting, loading, coordinating, and again |
//! | `loading` | reading the log into a coordinator |
//! | `serving` | one reign of one coordinator: inputs in, effects out |
//! | `assigning` | asking assignors |

mod assigning;
mod loading;
mod seat;
mod serving;
mod topic;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_core::group::{Ask, Asker, GroupConfig, LogEnds, Reply, Rule, TopicShape, Topics};
use weir_core::metadata::Image;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{MetadataIndex, PartitionIndex};
use weir_wire::plugin::PluginKind;
use weir_wire::request::{GroupListing, PartitionOffset};
use weir_wire::{group_log, names, placement};

use crate::controller::Controller;
use crate::outside::Outside;
use crate::partitions::{Partitions, Standing};
use crate::pipelines::Pipelines;
use crate::watched::Watched;
use seat::Seat;

/// The coordinators of a node. Cheap to clone.
#[derive(Clone)]
pub struct Groups {
    shared: Arc<Shared>,
}

struct Shared {
    outside: Outside,
    controller: Controller,
    partitions: Partitions,
    pipelines: Pipelines,
    /// How groups are looked after; changes before `topics` does.
    config: Watched<GroupConfig>,
    /// What groups need to know of the metadata.
    topics: Watched<Topics>,
    /// One for each partition of `__consumer_offsets` that is hosted here.
    seats: Mutex<BTreeMap<PartitionIndex, Seat>>,
    stopping: Arc<Watched<bool>>,
    /// How many partitions `__consumer_offsets` gets.
    offsets_partitions: u32,
    /// A rule that coordinators do not keep; only simulations have one.
    without: Option<Rule>,
}

impl Groups {
    /// Coordinators over these partitions. Call [`start`](Groups::start) when the partitions follow the metadata.
    #[must_use]
    pub fn new(
        outside: Outside,
        controller: Controller,
        partitions: Partitions,
        pipelines: Pipelines,
        stopping: Arc<Watched<bool>>,
        offsets_partitions: u32,
        without: Option<Rule>,
    ) -> Groups {
        let topics = Watched::new(topics_of(&controller.image()));
        let config = Watched::new(GroupConfig::of(&controller.settings()));
        let seats = Mutex::default();
        let shared = Shared {
            outside,
            controller,
            partitions,
            pipelines,
            config,
            topics,
            seats,
            stopping,
            offsets_partitions,
            without,
        };
        Groups { shared: Arc::new(shared) }
    }

    /// Follows the metadata until the node stops.
    pub fn start(&self) {
        tokio::spawn(follow_metadata(self.clone()));
    }

    /// Has the group's coordinator answer, if it is here.
    ///
    /// # Errors
    /// `NotCoordinator` and `CoordinatorLoadInProgress`, which pass; or what the coordinator says.
    pub async fn ask(&self, group: &str, asker: Asker, ask: Ask) -> Result<Reply, WireError> {
        let place = self.place_of(group);
        let answering = match place.and_then(|place| self.seats().get(&place).map(Seat::coordinator)) {
            Some(Ok(coordinator)) => coordinator.ask(asker, ask),
            Some(Err(seat::Absent::Loading)) => return Err(loading(group)),
            Some(Err(seat::Absent::Elsewhere)) | None => return Err(elsewhere(group, place)),
        };
        answering.await.unwrap_or_else(|| Err(elsewhere(group, place)))
    }

    /// The groups that this node coordinates, by name. Partitions that are being loaded are waited for by asking again.
    ///
    /// # Errors
    /// As [`ask`](Groups::ask).
    pub async fn list(&self, asker: &Asker) -> Result<Vec<GroupListing>, WireError> {
        let seats: Vec<_> = self.seats().values().map(Seat::coordinator).collect();
        let mut groups = Vec::new();
        for seat in seats {
            let coordinator = match seat {
                Ok(coordinator) => coordinator,
                Err(seat::Absent::Elsewhere) => continue,
                Err(seat::Absent::Loading) => {
                    let sentence = "this node still reads which groups it coordinates; try again";
                    return Err(WireError::new(ErrorCode::CoordinatorLoadInProgress, sentence));
                }
            };
            match coordinator.ask(asker.clone(), Ask::List).await {
                Some(Ok(Reply::Listed(listed))) => groups.extend(listed.groups),
                Some(Err(error)) => return Err(error),
                // Another node has those now.
                Some(Ok(_)) | None => {}
            }
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(groups)
    }

    /// The ends of the logs that are led here, of the partitions that are to be committed. What was read was committed,
    /// so it lies below the log end of whoever leads, also when a new leader has not said yet up to where.
    #[must_use]
    pub fn log_ends(&self, offsets: &[PartitionOffset]) -> LogEnds {
        let led = |offset: &PartitionOffset| {
            let handle = self.shared.partitions.get(offset.topic, offset.partition)?;
            let leads = handle.view.standing() == Standing::Leading;
            leads.then(|| ((offset.topic, offset.partition), handle.view.log_end()))
        };
        offsets.iter().filter_map(led).collect()
    }

    /// Whether any group was ever made in this cluster, as far as this node has heard.
    #[must_use]
    pub fn has_topic(&self) -> bool {
        self.shared.controller.image().topics.contains_key(group_log::TOPIC)
    }

    /// Which partition of `__consumer_offsets` a group belongs to, once there is such a topic.
    fn place_of(&self, group: &str) -> Option<PartitionIndex> {
        let image = self.shared.controller.image();
        let count = image.topics.get(group_log::TOPIC)?.partitions.len();
        Some(placement::coordinator_of(group, u32::try_from(count).ok()?))
    }

    /// Gives every hosted partition of the topic a seat, and takes the seats of those that are gone.
    fn follow(&self, image: &Image) {
        let Some(topic) = image.topics.get(group_log::TOPIC) else { return };
        let mut seats = self.seats();
        for partition in (0..).map(PartitionIndex).take(topic.partitions.len()) {
            match self.shared.partitions.get(topic.id, partition) {
                Some(handle) => {
                    seats.entry(partition).or_insert_with(|| Seat::take(Arc::clone(&self.shared), handle));
                }
                None => drop(seats.remove(&partition)),
            }
        }
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<PartitionIndex, Seat>> {
        // The guarded code inserts and removes whole entries.
        self.shared.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow_metadata(groups: Groups) {
    let (controller, partitions) = (groups.shared.controller.clone(), groups.shared.partitions.clone());
    let following = async {
        let mut seen = MetadataIndex(0);
        loop {
            let image = controller.newer_than(seen).await;
            seen = image.index;
            groups.shared.config.set(GroupConfig::of(&controller.settings()));
            groups.shared.topics.set(topics_of(&image));
            partitions.applied(image.index).await;
            groups.follow(&image);
        }
    };
    tokio::select! {
        biased;
        _ = groups.shared.stopping.wait_until(|stopping| *stopping) => {}
        () = following => {}
    }
    // What is being coordinated ends with its seat; who asked hears that it is elsewhere.
    groups.seats().clear();
}

/// The topics that groups may read, and the assignors that they may choose.
fn topics_of(image: &Image) -> Topics {
    let shapes = image.topics.iter().filter(|(name, _)| !names::is_internal(name)).map(|(name, topic)| {
        let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        (name.clone(), TopicShape { id: topic.id, partitions })
    });
    Topics::new(image.index, shapes).with_assignors(pushed_assignors(image).collect())
}

/// Assignors that operators pushed, as `name@version`.
fn pushed_assignors(image: &Image) -> impl Iterator<Item = String> {
    let versions =
        image.plugins.iter().flat_map(|(name, versions)| versions.iter().map(move |one| (name, one)));
    let assignors = versions.filter(|(_, (_, plugin))| plugin.kind == PluginKind::Assignor);
    assignors.map(|(name, (version, _))| format!("{name}@{version}"))
}

fn loading(group: &str) -> WireError {
    let sentence = format!(
        "this node coordinates group '{group}' from now on and still reads what its predecessor wrote; try again"
    );
    WireError::new(ErrorCode::CoordinatorLoadInProgress, sentence)
}

fn elsewhere(group: &str, place: Option<PartitionIndex>) -> WireError {
    let topic = group_log::TOPIC;
    let sentence = match place {
        Some(partition) => format!(
            "group '{group}' is coordinated by whoever leads partition {partition} of '{topic}', which this node does not; refresh the metadata"
        ),
        None => format!("'{topic}' is being made; refresh the metadata"),
    };
    WireError::new(ErrorCode::NotCoordinator, sentence)
}
