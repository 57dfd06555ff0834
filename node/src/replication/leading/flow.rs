//! How far one subscription is, and on which stream it is served. Values only.
//!
//! ```text
//!  reported       sent                     log end
//!     |            |                          |
//!  ───[============|--------------------------)
//!     on its way     to be sent
//! ```
//!
//! A subscription changes its stream only when the follower reported everything that was sent on the old one. Two
//! streams keep no order between them, and so nothing can overtake: no gap, no overlap.

use std::collections::VecDeque;

use weir_wire::ids::Offset;

/// Bytes that may be on their way to a follower on the live stream, for one partition, unreported. Beyond that the
/// follower lags, and is served on the catch-up stream, where its credit holds it back.
pub(super) const LIVE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Neighbouring frames below this are counted as one, so that the count of what is on its way stays short.
const COUNTED_TOGETHER_BYTES: u64 = 64 * 1024;

/// Which stream a subscription is served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// In sync, or about to be.
    Live,
    /// Lagging.
    CatchUp,
}

/// What to do next for a subscription, on the stream that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until something moves.
    Nothing,
    /// Read from here up to the log's end, and send.
    Read {
        /// From where.
        from: Offset,
    },
    /// There are no batches to carry the marks: send them alone.
    Marks {
        /// Where the last frame ended.
        from: Offset,
    },
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    lane: Lane,
    /// Everything up to here must be reported before the other stream goes on; nothing is sent meanwhile.
    moving: bool,
    sent: Offset,
    reported: Offset,
    /// Ends of what is on its way, with their bytes.
    on_the_way: VecDeque<(Offset, u64)>,
    on_the_way_bytes: u64,
    /// The high watermark and log start that the follower heard last.
    told: Option<(Offset, Offset)>,
}

impl Flow {
    /// A subscription whose follower has everything below `from`.
    pub(super) fn new(from: Offset) -> Flow {
        Flow {
            lane: Lane::Live,
            moving: false,
            sent: from,
            reported: from,
            on_the_way: VecDeque::new(),
            on_the_way_bytes: 0,
            told: None,
        }
    }

    /// The stream that it is served on.
    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    /// Where the next frame goes on.
    pub(super) fn position(&self) -> Offset {
        self.sent
    }

    /// What the stream `lane` does next for it.
    pub(super) fn next(&mut self, lane: Lane, log_end: Offset, marks: (Offset, Offset)) -> Next {
        if lane != self.lane || self.moving {
            return Next::Nothing;
        }
        if self.lane == Lane::Live && self.on_the_way_bytes > LIVE_BYTES_MAX {
            self.lags();
            return Next::Nothing;
        }
        if self.sent < log_end {
            return Next::Read { from: self.sent };
        }
        match lane {
            // At the tail, with everything sent: live from here on.
            Lane::CatchUp => {
                self.start_moving();
                Next::Nothing
            }
            Lane::Live if self.told != Some(marks) => Next::Marks { from: self.sent },
            Lane::Live => Next::Nothing,
        }
    }

    /// What it needs is not in memory any more, or too much is on its way: it is served on the catch-up stream as
    /// soon as that may begin.
    pub(super) fn lags(&mut self) {
        if self.lane == Lane::Live {
            self.start_moving();
        }
    }

    /// The follower heard of these marks, with no data.
    pub(super) fn told(&mut self, marks: (Offset, Offset)) {
        self.told = Some(marks);
    }

    /// A frame left. One that reached the log's end on the catch-up stream was the last there.
    pub(super) fn sent(&mut self, end: Offset, bytes: u64, log_end: Offset, marks: (Offset, Offset)) {
        self.told = Some(marks);
        if end <= self.sent {
            return;
        }
        self.sent = end;
        self.on_the_way_bytes += bytes;
        match self.on_the_way.back_mut() {
            Some((last, counted)) if *counted + bytes < COUNTED_TOGETHER_BYTES => {
                (*last, *counted) = (end, *counted + bytes);
            }
            _ => self.on_the_way.push_back((end, bytes)),
        }
        if self.lane == Lane::CatchUp && end >= log_end {
            self.start_moving();
        }
    }

    /// The follower has everything below `end`. Returns whether the other stream goes on now.
    pub(super) fn reported(&mut self, end: Offset) -> bool {
        self.reported = self.reported.max(end.min(self.sent));
        while let Some((_, bytes)) = self.on_the_way.pop_front_if(|(end, _)| *end <= self.reported) {
            self.on_the_way_bytes -= bytes;
        }
        self.move_if_due()
    }

    fn start_moving(&mut self) {
        self.moving = true;
    }

    /// Goes over to the other stream, if nothing is on its way. Returns whether it did.
    pub(super) fn move_if_due(&mut self) -> bool {
        if !self.moving || self.reported < self.sent {
            return false;
        }
        self.moving = false;
        self.lane = match self.lane {
            Lane::Live => Lane::CatchUp,
            Lane::CatchUp => Lane::Live,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: (Offset, Offset) = (Offset(0), Offset(0));

    fn at(from: u64) -> Next {
        Next::Read { from: Offset(from) }
    }

    #[test]
    fn a_follower_at_the_tail_is_sent_data_and_marks_once() {
        let mut flow = Flow::new(Offset(10));
        assert_eq!(flow.next(Lane::Live, Offset(10), MARKS), Next::Marks { from: Offset(10) });
        flow.sent(Offset(10), 0, Offset(10), MARKS);
        assert_eq!(flow.next(Lane::Live, Offset(10), MARKS), Next::Nothing);
        assert_eq!(flow.next(Lane::Live, Offset(12), MARKS), at(10));
        flow.sent(Offset(12), 100, Offset(12), (Offset(11), Offset(0)));
        assert_eq!(flow.next(Lane::Live, Offset(12), (Offset(11), Offset(0))), Next::Nothing, "data told it");
        let moved = (Offset(12), Offset(0));
        assert_eq!(flow.next(Lane::Live, Offset(12), moved), Next::Marks { from: Offset(12) });
    }

    #[test]
    fn streams_change_only_when_everything_sent_is_reported() {
        let mut flow = Flow::new(Offset(0));
        flow.sent(Offset(5), 100, Offset(90), MARKS);
        flow.lags();
        assert!(!flow.move_if_due());
        for lane in [Lane::Live, Lane::CatchUp] {
            assert_eq!(flow.next(lane, Offset(90), MARKS), Next::Nothing, "{lane:?} while it moves");
        }
        assert!(!flow.reported(Offset(4)));
        assert!(flow.reported(Offset(5)));
        assert_eq!(flow.next(Lane::Live, Offset(90), MARKS), Next::Nothing);
        assert_eq!(flow.next(Lane::CatchUp, Offset(90), MARKS), at(5));
        flow.sent(Offset(50), 100, Offset(90), MARKS);
        assert_eq!(flow.next(Lane::CatchUp, Offset(90), MARKS), at(50));
        flow.sent(Offset(90), 100, Offset(90), MARKS);
        assert_eq!(flow.next(Lane::CatchUp, Offset(95), MARKS), Next::Nothing, "the tail was reached");
        assert!(!flow.reported(Offset(50)));
        assert_eq!(flow.next(Lane::Live, Offset(95), MARKS), Next::Nothing);
        assert!(flow.reported(Offset(90)));
        assert_eq!(flow.next(Lane::Live, Offset(95), MARKS), at(90));
    }

    #[test]
    fn too_much_on_the_way_makes_a_follower_catch_up() {
        let mut flow = Flow::new(Offset(0));
        for end in 1..=4 {
            flow.sent(Offset(end), 1024 * 1024, Offset(10), MARKS);
        }
        assert_eq!(flow.next(Lane::Live, Offset(10), MARKS), at(4), "as much as may be on its way");
        flow.sent(Offset(5), 1, Offset(10), MARKS);
        assert_eq!(flow.next(Lane::Live, Offset(10), MARKS), Next::Nothing);
        assert!(!flow.reported(Offset(4)));
        assert!(flow.reported(Offset(5)));
        assert_eq!(flow.lane(), Lane::CatchUp);
    }

    #[test]
    fn a_report_beyond_what_was_sent_counts_for_what_was_sent() {
        let mut flow = Flow::new(Offset(0));
        flow.sent(Offset(5), 10, Offset(5), MARKS);
        flow.reported(Offset(500));
        flow.sent(Offset(7), 10, Offset(7), MARKS);
        flow.lags();
        assert!(!flow.move_if_due(), "5 to 7 is on its way");
    }

    #[test]
    fn small_frames_take_no_memory_each() {
        let mut flow = Flow::new(Offset(0));
        for end in 1..=10_000 {
            flow.sent(Offset(end), 100, Offset(20_000), MARKS);
        }
        assert!(flow.on_the_way.len() <= 16, "{}", flow.on_the_way.len());
        flow.reported(Offset(10_000));
        assert_eq!((flow.on_the_way.len(), flow.on_the_way_bytes), (0, 0));
    }
}
