//! What happens when a plugin fails.

use serde::{Deserialize, Serialize};
use weir_wire::error::{ErrorCode, WireError};

/// A function of a plugin that the node calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Takes the options.
    Configure,
    /// Sees a batch on its way into the log.
    OnSend,
    /// Places records.
    Partition,
    /// Sees a batch on its way to a consumer.
    OnConsume,
    /// Says who reads what.
    Assign,
    /// Learns what became of a batch.
    OnAcknowledgement,
    /// Learns of committed positions.
    OnCommit,
    /// Is told that its instance ends.
    Close,
}

impl Hook {
    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Configure => "configure",
            Hook::OnSend => "on-send",
            Hook::Partition => "partition",
            Hook::OnConsume => "on-consume",
            Hook::Assign => "assign",
            Hook::OnAcknowledgement => "on-acknowledgement",
            Hook::OnCommit => "on-commit",
            Hook::Close => "close",
        }
    }
}

/// Why a call failed, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The hook answered an error.
    Refused,
    /// Its answer breaks a rule of the contract.
    Answer,
    /// It trapped: a panic, an access out of bounds, and the like.
    Trap,
    /// It ran longer than it may.
    Time,
    /// It wanted more memory than it may have.
    Memory,
    /// Its calls went deeper than its stack.
    Stack,
    /// It wanted a larger table than it may have.
    Table,
    /// It handed over more bytes than it may.
    Output,
    /// It could not be started.
    Start,
    /// It was not called: too many calls waited for it.
    Busy,
    /// A batch that was sent again came out differently. Found at the partition; nobody can say which plugin of the
    /// pipeline it was, so it counts against each of them.
    Impure,
}

impl Cause {
    /// Every cause, in the order of the figures.
    pub const ALL: [Cause; 11] = [
        Cause::Refused,
        Cause::Answer,
        Cause::Trap,
        Cause::Time,
        Cause::Memory,
        Cause::Stack,
        Cause::Table,
        Cause::Output,
        Cause::Start,
        Cause::Busy,
        Cause::Impure,
    ];

    /// The label in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::Refused => "refused",
            Cause::Answer => "answer",
            Cause::Trap => "trap",
            Cause::Time => "time",
            Cause::Memory => "memory",
            Cause::Stack => "stack",
            Cause::Table => "table",
            Cause::Output => "output",
            Cause::Start => "start",
            Cause::Busy => "busy",
            Cause::Impure => "impure",
        }
    }

    /// Whether a hook that only looks at its arguments must fail in the same way on every try and every node. A trap
    /// or a limit may have its reason outside them: a slow machine, an instance that served before.
    #[must_use]
    pub fn is_of_the_arguments(self) -> bool {
        matches!(self, Cause::Refused | Cause::Answer)
    }
}

/// What a binding says is done with the records of a batch that its hook failed on. Stored: new ones go to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// The producer gets them back, with the reason; a consumer's fetch fails, its position stays.
    #[default]
    Reject,
    /// They go on as if the plugin were not there.
    Pass,
    /// They go to the topic's dead-letter topic.
    DeadLetter,
}

impl OnFailure {
    /// The name in a binding.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::Reject => "reject",
            OnFailure::Pass => "pass",
            OnFailure::DeadLetter => "dead-letter",
        }
    }

    /// The policy of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<OnFailure> {
        [OnFailure::Reject, OnFailure::Pass, OnFailure::DeadLetter]
            .into_iter()
            .find(|policy| policy.name() == name)
    }

    /// Whether a hook may be bound so.
    ///
    /// # Errors
    /// What the hook allows.
    pub fn check(self, hook: Hook) -> Result<(), String> {
        let allowed: &[OnFailure] = match hook {
            Hook::OnSend => &[OnFailure::Reject, OnFailure::Pass, OnFailure::DeadLetter],
            Hook::OnConsume => &[OnFailure::Reject, OnFailure::Pass],
            _ => &[OnFailure::Reject],
        };
        if allowed.contains(&self) {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|allowed| allowed.name()).collect();
        Err(format!(
            "on failure of '{}' a binding can say {}, not {}",
            hook.name(),
            names.join(" or "),
            self.name()
        ))
    }
}

/// What is done with the records of a batch that a hook failed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Rejected.
    Reject,
    /// On they go.
    Pass,
    /// Put aside.
    DeadLetter,
    /// The producer sends the batch again: nothing may be said about it now, since a part of it may be stored.
    Retry,
}

/// What follows from a failure on the produce path.
#[must_use]
pub fn on_produce(policy: OnFailure, cause: Cause, resent: bool) -> Consequence {
    // An earlier try may have succeeded and its answer got lost; whatever else is said now could contradict it. But
    // what fails because of its arguments failed then too.
    if cause == Cause::Busy || (resent && !cause.is_of_the_arguments()) {
        return Consequence::Retry;
    }
    match policy {
        OnFailure::Reject => Consequence::Reject,
        OnFailure::Pass => Consequence::Pass,
        OnFailure::DeadLetter => Consequence::DeadLetter,
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin '{plugin}' failed in '{hook}': {message}", hook = .hook.name())]
pub struct Failure {
    /// Which plugin, as `name@version`.
    pub plugin: String,
    /// In which of its functions.
    pub hook: Hook,
    /// Why, for figures and policies.
    pub cause: Cause,
    /// Why, for people: names the limit and its figure where one was hit.
    pub message: String,
    /// Where in the plugin it was when it failed, the innermost function first; of traps and limits.
    pub backtrace: Option<String>,
}

impl Failure {
    /// The error that a client gets.
    #[must_use]
    pub fn to_wire(&self) -> WireError {
        let code = if self.cause == Cause::Busy { ErrorCode::Busy } else { ErrorCode::PluginFailed };
        WireError::new(code, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_follows_from_each_failure() {
        let mut table = String::new();
        for policy in [OnFailure::Reject, OnFailure::Pass, OnFailure::DeadLetter] {
            for cause in Cause::ALL {
                let [first, resent] = [false, true].map(|resent| on_produce(policy, cause, resent));
                table += &format!(
                    "{:<12}{:<9}{:<13}resent: {resent:?}\n",
                    policy.name(),
                    cause.name(),
                    format!("{first:?}")
                );
            }
        }
        expect![[r#"
            reject      refused  Reject       resent: Reject
            reject      answer   Reject       resent: Reject
            reject      trap     Reject       resent: Retry
            reject      time     Reject       resent: Retry
            reject      memory   Reject       resent: Retry
            reject      stack    Reject       resent: Retry
            reject      table    Reject       resent: Retry
            reject      output   Reject       resent: Retry
            reject      start    Reject       resent: Retry
            reject      busy     Retry        resent: Retry
            reject      impure   Reject       resent: Retry
            pass        refused  Pass         resent: Pass
            pass        answer   Pass         resent: Pass
            pass        trap     Pass         resent: Retry
            pass        time     Pass         resent: Retry
            pass        memory   Pass         resent: Retry
            pass        stack    Pass         resent: Retry
            pass        table    Pass         resent: Retry
            pass        output   Pass         resent: Retry
            pass        start    Pass         resent: Retry
            pass        busy     Retry        resent: Retry
            pass        impure   Pass         resent: Retry
            dead-letter refused  DeadLetter   resent: DeadLetter
            dead-letter answer   DeadLetter   resent: DeadLetter
            dead-letter trap     DeadLetter   resent: Retry
            dead-letter time     DeadLetter   resent: Retry
            dead-letter memory   DeadLetter   resent: Retry
            dead-letter stack    DeadLetter   resent: Retry
            dead-letter table    DeadLetter   resent: Retry
            dead-letter output   DeadLetter   resent: Retry
            dead-letter start    DeadLetter   resent: Retry
            dead-letter busy     Retry        resent: Retry
            dead-letter impure   DeadLetter   resent: Retry
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn a_policy_fits_its_hook() {
        assert_eq!(OnFailure::DeadLetter.check(Hook::OnSend), Ok(()));
        assert_eq!(
            OnFailure::DeadLetter.check(Hook::OnConsume).unwrap_err(),
            "on failure of 'on-consume' a binding can say reject or pass, not dead-letter"
        );
        assert_eq!(
            OnFailure::Pass.check(Hook::Partition).unwrap_err(),
            "on failure of 'partition' a binding can say reject, not pass"
        );
    }
}
