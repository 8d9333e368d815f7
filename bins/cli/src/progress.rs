//! A progress bar on a terminal, and the notes on what was opened.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline::{Observer, Side, StepStatus};
use weights_io::Checkpoint;

use crate::downloads::Downloads;
use crate::{Printer, Verbosity, escape};

/// Observes a task: says what was opened, and shows what is done and the time to go.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    bar: ProgressBar,
    matrices: AtomicUsize,
    done: AtomicUsize,
    downloads: Downloads,
}

impl Progress {
    /// Progress as the printer's verbosity allows; the bar is drawn on a terminal only.
    #[must_use]
    pub fn new(printer: Printer) -> Self {
        Self {
            printer,
            bar: ProgressBar::hidden(),
            matrices: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            downloads: Downloads::new(printer),
        }
    }

    /// Starts a bar of so many units; what is said of them is up to the template.
    fn show(&self, length: u64, template: &str) {
        if self.printer.verbosity() == Verbosity::Quiet {
            return;
        }
        self.bar.reset(); // of a step before
        self.bar.set_length(length);
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_draw_target(ProgressDrawTarget::stderr()); // hides itself where that is no terminal
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.downloads.clear();
    }
}

impl Observer for Progress {
    fn downloads(&self) -> &dyn hub::Observer {
        &self.downloads
    }

    fn opened(&self, side: Side, checkpoint: &Checkpoint) {
        let name = |path: &Path| escape(&path.file_name().unwrap_or_default().to_string_lossy());
        let took = name(checkpoint.took());
        self.printer.detail(format_args!(
            "model {side}: {}, {} in {}",
            escape(&checkpoint.took().to_string_lossy()),
            counted(checkpoint.tensors().len() + checkpoint.unsupported().len(), "tensor"),
            counted(checkpoint.shards().len(), "file"),
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

    fn resumed(&self, finished: usize, matrices: usize) {
        self.printer.say(format_args!("{finished} of {matrices} matrices were finished by an earlier run"));
    }

    fn started(&self, matrices: usize, bytes: u64) {
        self.matrices.store(matrices, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.bar.set_message(format!("0/{matrices} matrices"));
        // Bytes drive the bar: matrices differ too much in size to tell the time that is left.
        self.show(bytes, "{bar:30} {msg}  {decimal_bytes_per_sec}  {eta} left");
    }

    fn compared(&self, _: &str, bytes: u64) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_message(format!("{done}/{} matrices", self.matrices.load(Ordering::Relaxed)));
        self.bar.inc(bytes);
    }

    fn forward_started(&self, steps: usize) {
        // One step is a sample in a block of a model, which says little to who waits: only its share of all does.
        self.show(steps as u64, "{bar:30} {percent}%  {eta} left");
    }

    fn forwarded(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    fn step_started(&self, number: usize, steps: usize, name: &str, why: &str) {
        self.printer.say(format_args!("[{number}/{steps}] {}", escape(name)));
        self.printer.detail(format_args!("      {}", escape(why)));
    }

    fn step_finished(&self, number: usize, steps: usize, name: &str, status: &StepStatus) {
        self.clear();
        let end = match status {
            StepStatus::Unchanged => "unchanged".to_owned(),
            StepStatus::Kept => "not asked for; what an earlier run left is used".to_owned(),
            StepStatus::LeftOut { why } => format!("not asked for; {why}"),
            StepStatus::Failed(_) => "failed".to_owned(),
            StepStatus::NotRun { needs } => format!("not run, for lack of {needs}"),
            StepStatus::Done => return,
        };
        self.printer.say(format_args!("[{number}/{steps}] {}: {}", escape(name), escape(&end)));
    }

    fn warned(&self, message: &str) {
        self.printer.warn(escape(message));
    }
}

/// A number with its noun, in the plural where it is not one.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
