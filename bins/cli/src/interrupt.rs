//! Ctrl-C and SIGTERM as a flag that a task polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pipeline::Hub;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::Printer;

/// The first signal asks the task to stop; a second one ends the process at once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Starts listening. Where the operating system does not allow that, signals end the process at once.
    #[must_use]
    pub fn listen(printer: Printer) -> Self {
        Self::registered().unwrap_or_else(|error| {
            printer.warn(format_args!("Ctrl-C ends this run without cleaning up: {error}"));
            Self::default()
        })
    }

    fn registered() -> std::io::Result<Self> {
        let interrupt = Self::default();
        // A write beyond the limit on a file's size is an error then, not the end of the process.
        flag::register(SIGXFSZ, Arc::default())?;
        for signal in [SIGINT, SIGTERM] {
            // In this order: a signal that finds the flag set already is the second one.
            flag::register_conditional_shutdown(signal, code(signal), Arc::clone(&interrupt.requested))?;
            flag::register_usize(signal, Arc::clone(&interrupt.signal), signal.unsigned_abs() as usize)?;
            flag::register(signal, Arc::clone(&interrupt.requested))?;
        }
        Ok(interrupt)
    }

    /// The flag for the task to poll.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.requested
    }

    /// The Hub as the environment has it. Its downloads and streams stop at a signal.
    #[must_use]
    pub fn hub(&self) -> Hub {
        let settings = hub::Settings::from_environment(|name| std::env::var_os(name));
        Hub::new(settings, Arc::clone(&self.requested))
    }

    /// The exit code that names the signal: 130 for Ctrl-C, 143 for SIGTERM.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.signal.load(Ordering::Relaxed) {
            signal if signal == SIGTERM as usize => code(SIGTERM) as u8,
            _ => code(SIGINT) as u8,
        }
    }
}

/// 128 + signal, as shells report it.
const fn code(signal: i32) -> i32 {
    128 + signal
}
