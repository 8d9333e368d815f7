//! What the command-line tools share: where messages go, how progress is shown, how a run is interrupted, and what its
//! exit code says.
//!
//! Results go to files, talk goes to stderr. A [`Printer`] decides what is said; [`finish`] turns a result into an
//! exit code and an error into one message with a hint.

mod exit;
mod interrupt;
mod printer;
mod progress;

pub use exit::{Exit, finish};
pub use interrupt::Interrupt;
pub use printer::{Printer, Verbosity, escape};
pub use progress::Progress;
