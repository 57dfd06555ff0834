//! Progress on a terminal, silence in a pipe.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the spinner turns where nothing else moves.
const TURN: Duration = Duration::from_millis(200);

/// A line on the terminal that says how far long work has come.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Progress towards a known end; `what` is counted, such as "records".
    pub(super) fn towards(total: u64, what: &str) -> Progress {
        let style = format!("{{spinner}} {{bar:30}} {{human_pos}} of {{human_len}} {what} {{msg}}");
        Progress::shown(ProgressBar::with_draw_target(Some(total), target()), &style)
    }

    /// Progress whose end is not known.
    pub(super) fn endless(what: &str) -> Progress {
        let style = format!("{{spinner}} {{human_pos}} {what}, {{per_sec}} {{msg}}");
        Progress::shown(ProgressBar::with_draw_target(None, target()), &style)
    }

    /// No progress at all, for where a terminal is used otherwise.
    pub(super) fn hidden() -> Progress {
        Progress { bar: ProgressBar::hidden() }
    }

    fn shown(bar: ProgressBar, style: &str) -> Progress {
        let style = ProgressStyle::with_template(style).expect("the templates of this file are valid");
        bar.set_style(style);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TURN);
        }
        Progress { bar }
    }

    /// Says how far it has come.
    pub(super) fn at(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Says something beside the figure.
    pub(super) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Prints lines without tearing the progress line apart.
    pub(super) fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the line off the terminal.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}
