//! A progress bar on a terminal, and the notes on what was opened.

use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline::{Observer, Side};
use weights_io::Checkpoint;

use crate::{Printer, Verbosity, escape};

/// Observes a task: says what was opened, and shows matrices done, bytes per second and the time to go.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    matrices: ProgressBar,
}

impl Progress {
    /// Progress as the printer's verbosity allows; the bar is drawn on a terminal only.
    #[must_use]
    pub fn new(printer: Printer) -> Self {
        Self { printer, matrices: ProgressBar::hidden() }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.matrices.finish_and_clear();
    }
}

impl Observer for Progress {
    fn opened(&self, side: Side, checkpoint: &Checkpoint) {
        let name = |path: &Path| escape(&path.file_name().unwrap_or_default().to_string_lossy());
        let took = name(checkpoint.took());
        self.printer.detail(format_args!(
            "model {side}: {} ({} files, {} tensors)",
            escape(&checkpoint.took().to_string_lossy()),
            checkpoint.shards().len(),
            checkpoint.tensors().len() + checkpoint.unsupported().len(),
        ));
        if !checkpoint.also_present().is_empty() {
            let others: Vec<String> = checkpoint.also_present().iter().map(|path| name(path)).collect();
            self.printer.say(format_args!("model {side}: took {took}, not {}", others.join(", ")));
        }
        for call in checkpoint.ignored_calls() {
            self.printer
                .warn(format_args!("model {side}: {took} asks to call `{}`; nothing was run", escape(call)));
        }
    }

    fn started(&self, _: usize, bytes: u64) {
        if self.printer.verbosity() > Verbosity::Quiet {
            self.matrices.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.matrices.set_length(bytes);
        let template = "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.matrices.set_style(style);
        }
    }

    fn compared(&self, name: &str, bytes: u64) {
        self.matrices.inc(bytes);
        self.matrices.set_message(escape(name));
    }
}
