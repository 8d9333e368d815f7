//! What the command-line tools share: arguments, where messages go, how progress is shown, how a run is interrupted, and
//! what its exit code says.
//!
//! Results go to files, talk goes to stderr. A [`Printer`] decides what is said; [`run`] does a task and turns its result
//! into an exit code, and an error into one message with a hint.

mod arguments;
mod downloads;
mod exit;
mod interrupt;
mod pictures;
mod printer;
mod progress;
mod run;

pub use arguments::{
    FormatArguments, RunArguments, StreamArguments, TalkArguments, given_arguments, help_of_models,
    named_file,
};
pub use exit::{Exit, message};
pub use interrupt::Interrupt;
pub use pictures::{PictureArguments, PictureFormatName, say_plotted};
pub use printer::{Printer, Verbosity, escape};
pub use progress::{Progress, counted};
pub use run::run;
