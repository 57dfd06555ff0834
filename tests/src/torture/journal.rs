//! What happened in a round, for whoever looks for the cause: lines with times, and what must not be.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use tokio::time::Instant;

use super::plan::Kind;

/// More findings of a round help nobody; the timeline has them all.
const FINDINGS_MAX: usize = 40;

/// The lines of a round.
pub(super) struct Journal {
    started: Instant,
    lines: RefCell<Vec<String>>,
    findings: RefCell<Vec<String>>,
    faults: RefCell<BTreeMap<Kind, u64>>,
    skipped: RefCell<BTreeMap<Kind, u64>>,
}

impl Journal {
    pub(super) fn new() -> Journal {
        Journal {
            started: Instant::now(),
            lines: RefCell::default(),
            findings: RefCell::default(),
            faults: RefCell::default(),
            skipped: RefCell::default(),
        }
    }

    /// Something happened.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let at = self.started.elapsed();
        self.lines.borrow_mut().push(format!("{:>7.3} {what}", at.as_secs_f64()));
    }

    /// Something happened that must not be.
    pub(super) fn finding(&self, what: fmt::Arguments<'_>) {
        self.note(format_args!("FOUND: {what}"));
        let mut findings = self.findings.borrow_mut();
        if findings.len() < FINDINGS_MAX {
            findings.push(what.to_string());
        }
    }

    /// A fault came.
    pub(super) fn fault(&self, kind: Kind, what: fmt::Arguments<'_>) {
        self.note(format_args!("{kind}: {what}"));
        *self.faults.borrow_mut().entry(kind).or_default() += 1;
    }

    /// A fault did not come, since it would have cost more than is promised, or was refused.
    pub(super) fn skipped(&self, kind: Kind, why: fmt::Arguments<'_>) {
        self.note(format_args!("{kind} is left out: {why}"));
        *self.skipped.borrow_mut().entry(kind).or_default() += 1;
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    pub(super) fn findings(&self) -> Vec<String> {
        self.findings.borrow().clone()
    }

    /// How often each kind of fault came.
    pub(super) fn faults(&self) -> BTreeMap<Kind, u64> {
        self.faults.borrow().clone()
    }

    /// How often each kind of fault did not come.
    pub(super) fn left_out(&self) -> BTreeMap<Kind, u64> {
        self.skipped.borrow().clone()
    }
}
