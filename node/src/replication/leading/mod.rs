//! Leading: what a follower's node is answered and sent.
//!
//! ```text
//!  live stream ──Subscribe, Report, Unsubscribe──▶ replica's mailbox
//!              ◀─answers, data at the tail, marks── Session ◀─rings── replica's view
//!  catch-up    ──Credit──▶                            │
//!              ◀─older data, as credit allows─────────┘
//! ```
//!
//! One task per stream. Both serve the same subscriptions, each of which is on one stream at a time (`flow`); each
//! task sends one frame per subscription in turn, so that a large partition holds up no other. Replicas that are being added
//! to a partition begin on the catch-up stream, and are sent no faster than the throttle lets (`pace`). While producers wait for
//! what leaves live, the catch-up streams rest two thirds of the time (`manners`).

mod catch_up;
mod flow;
mod live;
mod manners;
mod pace;
mod session;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use weir_core::partition::Member;
use weir_quic::{Frame, FrameReader, FrameWriter, Principal, Priority};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::frame::Limits;
use weir_wire::ids::{Incarnation, NodeId};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::replication::ReplicaOpen;
use weir_wire::request::decode_body;

use super::Replication;
pub(super) use manners::LiveSign;
pub(super) use pace::Pace;
use session::Session;

/// The sessions that this node serves: the two streams of one find each other by it.
pub(super) type Sessions = Mutex<BTreeMap<SessionKey, Arc<Session>>>;

/// Names a session: who follows, in which life, and its number for the session.
type SessionKey = (NodeId, Incarnation, u64);

/// Which of a session's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Live,
    CatchUp,
}

impl Replication {
    /// Serves a follower's stream whose opening frame was read and is of version `version`.
    pub async fn serve(
        &self,
        principal: &Principal,
        open: &Frame<StreamOpen>,
        version: u16,
        mut reader: FrameReader,
        mut writer: FrameWriter,
    ) {
        match self.open(principal, &open.header, &open.payload) {
            Ok((kind, key, session)) => {
                reader.set_limits(Limits::CONTROL);
                writer.set_priority(match kind {
                    Kind::Live => Priority::Replication,
                    Kind::CatchUp => Priority::Background,
                });
                let (cluster, node) = (self.0.cluster, self.0.node);
                writer.queue(&StreamAnswer::Opened { version, cluster, node }, Bytes::new());
                match kind {
                    Kind::Live => live::serve(self, &session, reader, writer).await,
                    Kind::CatchUp => catch_up::serve(self, &session, reader, writer).await,
                }
                // Neither stream is of use without the other.
                session.end();
                self.sessions().remove(&key);
            }
            Err(error) => {
                tracing::warn!(%error, %principal, "a replication stream was refused");
                writer.queue(&StreamAnswer::Refused(error), Bytes::new());
                // Who is gone already needs no answer.
                let _ = writer.finish().await;
            }
        }
    }

    fn open(
        &self,
        principal: &Principal,
        open: &StreamOpen,
        body: &[u8],
    ) -> Result<(Kind, SessionKey, Arc<Session>), WireError> {
        let kind = match open.kind {
            StreamKind::REPLICA_LIVE => Kind::Live,
            StreamKind::REPLICA_CATCH_UP => Kind::CatchUp,
            unknown => {
                let sentence = format!("stream kind {} is no replication stream", unknown.0);
                return Err(WireError::new(ErrorCode::UnsupportedRequest, sentence));
            }
        };
        let replica = decode_body::<ReplicaOpen>(body)?;
        let (cluster, node) = (self.0.cluster, self.0.node);
        if replica.cluster != cluster {
            let sentence = format!("this is cluster {cluster}, not {}", replica.cluster);
            return Err(WireError::new(ErrorCode::WrongCluster, sentence));
        }
        // The certificate decides who follows: a report counts as that node's word.
        if *principal != Principal::Node(replica.follower) {
            let sentence = format!("{principal} cannot follow as node {}", replica.follower);
            return Err(WireError::new(ErrorCode::Unauthorized, sentence));
        }
        let key = (replica.follower, replica.incarnation, replica.session);
        let follower = Member { node: replica.follower, incarnation: replica.incarnation };
        let session =
            Arc::clone(self.sessions().entry(key).or_insert_with(|| Arc::new(Session::new(follower, node))));
        if !session.attach(kind) {
            let sentence = "a session has one stream of each kind, and neither goes on without the other";
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        Ok((kind, key, session))
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionKey, Arc<Session>>> {
        // The guarded code inserts and removes whole entries.
        self.0.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A stream that cannot be read on: tells the follower, if it is to blame.
fn broken(reader: &mut FrameReader, error: &weir_quic::ReadError) {
    tracing::debug!(%error, "a replication stream broke");
    if let Some(code) = error.refusal() {
        reader.refuse(code);
    }
}
