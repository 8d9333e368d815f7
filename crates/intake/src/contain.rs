//! Panics of libraries over files from elsewhere.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// A panic that was contained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Panic {
    /// What it said.
    pub message: String,
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a task of a library that panics at some inputs, and returns the panic without a word on stderr. What the task
/// leaves behind must not be used after a panic. All other panics are reported as before.
///
/// # Errors
/// The panic.
pub fn contained<T>(task: impl FnOnce() -> T) -> Result<T, Panic> {
    silence_contained_panics();
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(task));
    CONTAINED.set(outer);
    result.map_err(|panic| Panic { message: message(panic.as_ref()) })
}

/// The hook belongs to the whole process, so it is set once, and asks on each thread whether it may be silent there.
fn silence_contained_panics() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !CONTAINED.get() {
                report(panic);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)] // it is what is tested
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_contained_panics_are_silent() {
        let reports = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reports);
        set_hook(Box::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(contained(|| 1), Ok(1));
        let nested = contained(|| {
            let inner = contained(|| panic!("inner"));
            assert_eq!(inner, Err::<(), _>(Panic { message: "inner".into() }));
            panic!("{}", "outer");
        });
        assert_eq!(nested, Err::<(), _>(Panic { message: "outer".into() }));
        assert_eq!(
            contained(|| std::panic::panic_any(7)).map_err(|panic| panic.message),
            Err::<(), _>("no message".into())
        );
        assert_eq!(reports.load(Ordering::Relaxed), 0);
        assert!(catch_unwind(|| panic!("reported")).is_err());
        let other_thread = contained(|| std::thread::spawn(|| panic!("elsewhere")).join().is_err());
        assert_eq!((other_thread, reports.load(Ordering::Relaxed)), (Ok(true), 2));
    }
}
