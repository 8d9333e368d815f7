//! A hook that tells an observer how far the forward pass is, and ends it when the run is interrupted.

use std::sync::atomic::{AtomicBool, Ordering};

use activations::{Batch, Hook, HookError, HookPoint};
use candle_core::Tensor;

use crate::{Error, Observer};

pub(crate) struct ForwardSteps<'a> {
    pub(crate) observer: &'a dyn Observer,
    pub(crate) interrupted: &'a AtomicBool,
}

/// How the hook ends a run.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

impl Hook for ForwardSteps<'_> {
    fn wants(&self, at: HookPoint) -> bool {
        matches!(at, HookPoint::Embed | HookPoint::ResidPost(_))
    }

    fn observe(&mut self, at: HookPoint, _: &Tensor, batch: &Batch<'_>) -> Result<(), HookError> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        if let HookPoint::ResidPost(_) = at {
            self.observer.forwarded(batch.samples.len());
        }
        Ok(())
    }
}

/// What a forward pass failed with, an interruption as such.
pub(crate) fn failure(error: activations::Error) -> Error {
    match error {
        activations::Error::Hook { source, .. } if source.is::<Interrupted>() => Error::Interrupted,
        error => error.into(),
    }
}
