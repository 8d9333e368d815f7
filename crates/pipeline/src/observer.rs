//! How a task tells what it is doing.

use std::fmt;

use weights_io::Checkpoint;

use crate::StepStatus;

/// One of the models of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The baseline.
    A,
    /// The changed model.
    B,
    /// One of several, from 1.
    Number(usize),
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A => formatter.pad("A"),
            Self::B => formatter.pad("B"),
            Self::Number(number) => number.fmt(formatter),
        }
    }
}

/// Receives the events of a task. Every method does nothing by default; calls may come from any thread.
pub trait Observer: Sync {
    /// Who hears of downloads.
    fn downloads(&self) -> &dyn hub::Observer {
        &()
    }

    /// A checkpoint was opened.
    fn opened(&self, side: Side, checkpoint: &Checkpoint) {
        let _ = (side, checkpoint);
    }

    /// So many of all matrices to compare are taken over from an earlier run that was stopped.
    fn resumed(&self, finished: usize, matrices: usize) {
        let _ = (finished, matrices);
    }

    /// The comparison starts: so many matrices remain, of so many bytes on both sides together.
    fn started(&self, matrices: usize, bytes: u64) {
        let _ = (matrices, bytes);
    }

    /// A matrix was compared: its bytes on both sides together.
    fn compared(&self, name: &str, bytes: u64) {
        let _ = (name, bytes);
    }

    /// A forward pass starts: so many steps, each one sample through one block of one model.
    fn forward_started(&self, steps: usize) {
        let _ = steps;
    }

    /// So many more steps were done.
    fn forwarded(&self, steps: usize) {
        let _ = steps;
    }

    /// A step of a whole run starts: its number from 1, how many there are, what it is about, and why it is taken
    /// although there may have been an earlier run.
    fn step_started(&self, number: usize, steps: usize, name: &str, why: &str) {
        let _ = (number, steps, name, why);
    }

    /// A step of a whole run ended, or was not taken.
    fn step_finished(&self, number: usize, steps: usize, name: &str, status: &StepStatus) {
        let _ = (number, steps, name, status);
    }

    /// Something that the user may not expect, in one sentence without an end.
    fn warned(&self, message: &str) {
        let _ = message;
    }
}

/// Observes nothing.
impl Observer for () {}
