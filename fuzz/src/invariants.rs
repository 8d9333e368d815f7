//! What must hold of every outcome, whatever the input.

use weights_io::{Checkpoint, Error, Selection, Status, pairs};

/// Bytes that a message may have, with all its causes.
const LONGEST_MESSAGE: usize = 2048;
/// Bytes of a tensor up to which its elements are gathered, so that an execution stays short.
const GATHERED: usize = 64 << 10;
/// Tensors that are read, for the same reason.
const READ: usize = 64;

/// A refusal says what is wrong and what to do, in a few printable words; what opens can be used.
pub fn hold(opened: Result<Checkpoint, Error>) {
    match opened {
        Err(error) => explains(&error),
        Ok(checkpoint) => usable(&checkpoint),
    }
}

/// As [`hold`], and names pair.
pub fn hold_and_pair(opened: Result<Checkpoint, Error>) {
    if let Ok(checkpoint) = &opened {
        pair_with_itself(checkpoint);
    }
    hold(opened);
}

/// An error has a hint, and its message is bounded and can be shown on a terminal.
pub fn explains(error: &Error) {
    assert!(!error.hint().is_empty(), "no hint: {error}");
    is_printable(error);
}

/// A message and its causes are bounded and can be shown on a terminal.
pub fn is_printable(error: &dyn std::error::Error) {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    for text in std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)) {
        assert!(!text.is_empty());
        assert!(text.len() <= LONGEST_MESSAGE, "a message of {} bytes: {}", text.len(), &text[..200]);
        assert!(!text.contains(char::is_control), "control characters: {text:?}");
    }
}

/// Every tensor lies in its file, has as many elements as its shape says, and can be read.
fn usable(checkpoint: &Checkpoint) {
    assert!(!checkpoint.tensors().is_empty() || !checkpoint.unsupported().is_empty());
    for entry in checkpoint.unsupported() {
        assert!(!entry.reason.is_empty());
        assert!(entry.reason.len() <= LONGEST_MESSAGE && !entry.reason.contains(char::is_control));
        assert!(checkpoint.get(&entry.name).is_none(), "{} is listed twice", entry.name);
    }
    for call in checkpoint.ignored_calls() {
        assert!(call.len() <= LONGEST_MESSAGE && !call.contains(char::is_control), "{call:?}");
    }
    for tensor in checkpoint.tensors() {
        assert_eq!(checkpoint.get(&tensor.name), Some(tensor), "one name, one tensor");
        assert_eq!(tensor.shape.len(), tensor.strides.len());
        let product = tensor.shape.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis));
        let elements = if tensor.shape.contains(&0) { 0 } else { product.expect("a count that overflows") };
        assert_eq!(tensor.element_count(), elements);
        elements.checked_mul(tensor.dtype.size()).expect("a size that overflows");
        let _ = checkpoint.file_of(tensor);
    }
    for tensor in checkpoint.tensors().iter().take(READ) {
        checkpoint.will_need(tensor);
        match checkpoint.view(tensor) {
            Ok(view) => {
                assert_eq!(view.bytes.len(), tensor.extent());
                if tensor.element_count() * tensor.dtype.size() <= GATHERED {
                    let gathered = view.to_contiguous();
                    assert_eq!(gathered.len(), tensor.element_count() * tensor.dtype.size());
                }
            }
            Err(error) => explains(&error), // a damaged deflated entry shows when it is inflated
        }
        if let Some(slice) = tensor.slice(0) {
            match checkpoint.view(&slice) {
                Ok(view) => assert_eq!(view.bytes.len(), slice.extent()),
                Err(error) => explains(&error),
            }
        }
        checkpoint.give_back(tensor);
    }
}

/// Every name of a checkpoint is paired with itself, in one shape, and is comparable or says why not.
fn pair_with_itself(checkpoint: &Checkpoint) {
    for pairing in pairs(checkpoint, checkpoint, Selection::AllMatrices) {
        assert!(pairing.a.shape() == pairing.b.shape());
        assert_eq!(pairing.reason.is_empty(), pairing.status == Status::Comparable);
    }
}
