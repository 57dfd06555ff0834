//! What happened over many schedules.

/// What happened over many schedules, so that a run can show that it tried everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) acknowledged: usize,
    pub(super) duplicates: u64,
    pub(super) interrupted: u64,
    pub(super) elections: u64,
    pub(super) crashes: u64,
    pub(super) lost_bytes: u64,
    pub(super) truncations: u64,
    pub(super) proposals: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    pub(super) expansions: u64,
    pub(super) shrinks: u64,
    pub(super) switches: u64,
    pub(super) told_flushed: u64,
    pub(super) late_frames: u64,
}

impl Tally {
    /// A schedule that never tries a thing proves nothing about it.
    pub(super) fn assert_everything_happened(&self) {
        let counts = [
            ("duplicates", self.duplicates),
            ("interrupted", self.interrupted),
            ("elections", self.elections),
            ("crashes", self.crashes),
            ("lost bytes", self.lost_bytes),
            ("truncations", self.truncations),
            ("proposals", self.proposals),
            ("refused", self.refused),
            ("unknown", self.unknown),
            ("expansions", self.expansions),
            ("shrinks", self.shrinks),
            ("switches", self.switches),
            ("told flushed", self.told_flushed),
            ("late frames", self.late_frames),
        ];
        for (what, count) in counts {
            assert!(count > 10, "only {count} {what} in all schedules: {self:?}");
        }
    }
}
