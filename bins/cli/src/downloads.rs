//! Progress of downloads: a bar for each file that is on its way, and one for all.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{Printer, Verbosity, counted, escape};

/// Shows downloads; on a terminal with bars.
#[derive(Debug)]
pub(crate) struct Downloads {
    printer: Printer,
    bars: MultiProgress,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    all: Option<ProgressBar>,
    files: HashMap<String, ProgressBar>,
}

const FILE: &str = "  {msg:40!} {bar:24} {binary_bytes:>10}/{binary_total_bytes}";
const ALL: &str =
    "  {msg:40} {bar:24} {binary_bytes:>10}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";

impl Downloads {
    pub(crate) fn new(printer: Printer) -> Self {
        Self {
            printer,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            shown: Mutex::default(),
        }
    }

    /// Changes what is shown. A thread that died while it did so leaves nothing worth showing.
    fn with_shown(&self, change: impl FnOnce(&mut Shown)) {
        if let Ok(mut shown) = self.shown.lock() {
            change(&mut shown);
        }
    }

    fn bar(&self, bytes: u64, template: &str, message: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(bytes));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(escape(message));
        bar
    }

    /// Takes all bars away.
    pub(crate) fn clear(&self) {
        self.with_shown(|shown| *shown = Shown::default());
        let _ = self.bars.clear();
    }
}

impl hub::Observer for Downloads {
    fn download_started(&self, repository: &str, files: usize, bytes: u64) {
        let files = counted(files, "file");
        self.printer.say(format_args!("fetching {}: {files}, {}", escape(repository), HumanBytes(bytes)));
        if self.printer.verbosity() > Verbosity::Quiet {
            self.bars.set_draw_target(ProgressDrawTarget::stderr()); // hides itself where that is no terminal
        }
        self.with_shown(|shown| shown.all = Some(self.bar(bytes, ALL, "all")));
    }

    fn file_started(&self, file: &str, bytes: u64, present: u64) {
        self.with_shown(|shown| {
            // A file that begins anew has its bar.
            let bar = shown.files.entry(file.to_owned()).or_insert_with(|| self.bar(bytes, FILE, file));
            if let Some(all) = &shown.all {
                all.set_position(all.position() - bar.position().min(all.position()) + present);
                all.reset_eta(); // what was there says nothing of how fast the rest will come
            }
            bar.set_position(present);
        });
    }

    fn received(&self, file: &str, bytes: u64) {
        self.with_shown(|shown| {
            let bars = shown.files.get(file).into_iter().chain(&shown.all);
            bars.for_each(|bar| bar.inc(bytes));
        });
    }

    fn file_finished(&self, file: &str) {
        self.with_shown(|shown| {
            if let Some(bar) = shown.files.remove(file) {
                bar.finish_and_clear();
            }
        });
    }

    fn download_finished(&self) {
        self.clear();
    }

    fn waiting(&self, why: &str) {
        // Bars would be torn by a line between them. (`suspend` would panic where they cannot be drawn.)
        let _ = self.bars.clear();
        self.printer.say(escape(why));
    }
}
