//! When to try again, and after how long.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::Error;

/// Tries in a row without any progress, after which it is given up: some ten seconds.
const TRIES: u32 = 6;
/// The same where something had arrived: more than a minute, since what a long stream has brought would be lost.
const TRIES_ON_THE_WAY: u32 = 9;
/// The longest pause, whatever the server asks for: the Hub counts requests in windows of five minutes.
const LONGEST: Duration = Duration::from_secs(330);
/// How often a pause looks at whether it should end.
const POLL: Duration = Duration::from_millis(20);

/// Why a request failed, and whether another one may do better.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It will not.
    Final(Error),
    /// It may, after some time; the server may have said which.
    Passing { error: Error, after: Option<Duration> },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Counts failures without progress, and waits between them.
pub(crate) struct Patience<'a> {
    pause: Duration,
    tries: u32,
    failures: u32,
    stopped: &'a dyn Fn() -> bool,
    waiting: &'a dyn Fn(&str),
}

impl<'a> Patience<'a> {
    /// The first pause is about `pause` long. `stopped` ends pauses and `waiting` hears of long ones.
    pub(crate) fn new(pause: Duration, stopped: &'a dyn Fn() -> bool, waiting: &'a dyn Fn(&str)) -> Self {
        Self { pause, tries: TRIES, failures: 0, stopped, waiting }
    }

    /// Something arrived: all tries are there again, and more.
    pub(crate) fn progressed(&mut self) {
        (self.failures, self.tries) = (0, TRIES_ON_THE_WAY);
    }

    /// Repeats a request until it succeeds or there is no point any more.
    pub(crate) fn repeat<T>(mut self, mut request: impl FnMut() -> Result<T, Failure>) -> Result<T, Error> {
        loop {
            match request() {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.wait(failure)?,
            }
        }
    }

    /// Waits before the next try.
    pub(crate) fn wait(&mut self, failure: Failure) -> Result<(), Error> {
        let (error, after) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { error, after } => (error, after),
        };
        self.failures += 1;
        if self.failures >= self.tries {
            return Err(error);
        }
        // Half to one and a half times the pause, so that clients which failed together do not return together.
        let chance = RandomState::new().hash_one(self.failures) as f64 / u64::MAX as f64;
        let grown = self.pause * 2_u32.pow(self.failures - 1);
        let pause = after.unwrap_or_else(|| grown.mul_f64(0.5 + chance)).min(LONGEST);
        if pause > Duration::from_secs(2) {
            (self.waiting)(&format!("{error}; trying again in {} s", pause.as_secs()));
        }
        let end = Instant::now() + pause;
        loop {
            if (self.stopped)() {
                return Err(Error::Interrupted);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(POLL));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(after: Option<Duration>) -> Failure {
        Failure::Passing { error: Error::Token { endpoint: String::new() }, after }
    }

    #[test]
    fn tries_end_unless_there_is_progress() {
        let mut patience = Patience::new(Duration::ZERO, &|| false, &|_| {});
        for tries in [TRIES, TRIES_ON_THE_WAY, TRIES_ON_THE_WAY] {
            for _ in 1..tries {
                patience.wait(passing(None)).unwrap();
            }
            patience.progressed();
        }
        let mut tries = 0;
        let result: Result<(), _> = patience.repeat(|| {
            tries += 1;
            Err(passing(None))
        });
        assert!(matches!(result, Err(Error::Token { .. })));
        assert_eq!(tries, TRIES_ON_THE_WAY);
    }

    #[test]
    fn pauses_grow_obey_the_server_and_can_be_ended() {
        let mut patience = Patience::new(Duration::from_millis(10), &|| false, &|_| {});
        let start = Instant::now();
        for _ in 0..4 {
            patience.wait(passing(None)).unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(75)); // (10 + 20 + 40 + 80) / 2
        let start = Instant::now();
        patience.wait(passing(Some(Duration::from_millis(60)))).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(60));

        let said = std::cell::RefCell::new(String::new());
        let waiting = |why: &str| said.borrow_mut().push_str(why);
        let mut patience = Patience::new(Duration::ZERO, &|| true, &waiting);
        let interrupted = patience.wait(passing(Some(Duration::from_secs(10_000))));
        assert!(matches!(interrupted, Err(Error::Interrupted)));
        assert!(said.borrow().ends_with("trying again in 330 s"), "{}", said.borrow());
    }
}
