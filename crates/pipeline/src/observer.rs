//! How a task tells what it is doing.

use std::fmt;

use weights_io::Checkpoint;

/// One of the two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The baseline.
    A,
    /// The changed model.
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// Receives the events of a task. Every method does nothing by default; calls may come from any thread.
pub trait Observer: Sync {
    /// A checkpoint was opened.
    fn opened(&self, side: Side, checkpoint: &Checkpoint) {
        let _ = (side, checkpoint);
    }

    /// The comparison starts: so many matrices, of so many bytes on both sides together.
    fn started(&self, matrices: usize, bytes: u64) {
        let _ = (matrices, bytes);
    }

    /// A matrix was compared: its bytes on both sides together.
    fn compared(&self, name: &str, bytes: u64) {
        let _ = (name, bytes);
    }
}

/// Observes nothing.
impl Observer for () {}
