//! The part that the metadata gives this replica.

use tracing::{Span, field};
use weir_core::partition::{Effect, EpochCheckpoint, Input, StorageFault};
use weir_wire::ids::LeaderEpoch;

use super::Replica;
use crate::partitions::roles::Role;
use crate::partitions::view::Standing;

impl Replica {
    /// Takes the part, and says of which reign. What says so is on disk when this returns.
    pub(super) async fn take_role(&mut self, role: Role) -> LeaderEpoch {
        let before = self.core.leading();
        self.state.catches_up = false;
        let leader_epoch = match role {
            Role::Leader(reign) => {
                self.me = Some(reign.me);
                let leader_epoch = reign.leader_epoch;
                self.begin(Input::BecomeLeader(reign)).await;
                leader_epoch
            }
            Role::Follower(following) => {
                self.me = Some(following.me);
                self.begin(Input::BecomeFollower(following)).await;
                following.leader_epoch
            }
        };
        if self.core.leading() != before {
            self.state.peers.forget();
        }
        if let Some(start) = self.core.reign_start() {
            self.view.set_reign_start(start);
        }
        if self.core.retired().is_none() {
            match self.core.leading() {
                Some(leader_epoch) => {
                    Span::current().record("leader_epoch", field::display(leader_epoch));
                    self.view.set_standing(Standing::Leading, leader_epoch);
                }
                None => self.view.set_standing(Standing::Idle, leader_epoch),
            }
        }
        leader_epoch
    }

    /// As `handle`, for what begins a reign. That is on disk before anything of the reign is done; until then this replica
    /// waits, and the others of its thread go on: a node that starts, or takes over for another, begins thousands at once.
    async fn begin(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.decide(input, &mut effects);
        for effect in effects {
            match effect {
                Effect::SaveEpochs(checkpoint) => self.save_reign(checkpoint).await,
                effect => self.carry_out(effect),
            }
        }
        self.say_whether_time_matters();
    }

    async fn save_reign(&mut self, checkpoint: EpochCheckpoint) {
        let side = self.log().side_files();
        let saved = self.outside.on_worker(move || side.save_epochs(&checkpoint)).await;
        if let Err(error) = saved {
            self.storage_failed(StorageFault::Write, &error);
        }
    }
}
