//! The one error type of this crate.

/// Why a matrix could not be described or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before the last element.
    #[error("a {rows} × {columns} matrix needs {needed} bytes, {given} are given")]
    TooFewBytes {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// Bytes up to the end of the last element.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// Rows, columns and strides cannot be counted in bytes.
    #[error("the size of a {rows} × {columns} matrix overflows")]
    Overflow {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// The two matrices have different shapes.
    #[error("shapes differ: {a:?} and {b:?}")]
    ShapesDiffer {
        /// Rows and columns of A.
        a: (usize, usize),
        /// Rows and columns of B.
        b: (usize, usize),
    },
    /// A tolerance that no computation can meet, or none at all.
    #[error("tolerance {0} is not between 1e-6 and 1")]
    Tolerance(String),
    /// A failure probability outside its range.
    #[error("failure probability {0} is not between 0 and 0.5")]
    FailureProbability(String),
    /// No read allowed.
    #[error("at least one pass is needed")]
    MaxPasses,
    /// More singular values asked for than are kept.
    #[error("{given} singular values are more than 64")]
    TopK {
        /// How many were asked for.
        given: usize,
    },
    /// A small symmetric eigenproblem did not converge. It has finite entries, so this does not happen.
    #[error("the eigenvalues of a {size} × {size} symmetric matrix did not converge")]
    Eigenvalues {
        /// Rows of the eigenproblem.
        size: usize,
    },
    /// A dense singular value decomposition did not converge. The matrix is finite, so this does not happen.
    #[error("the singular values of a {rows} × {columns} matrix did not converge")]
    SingularValues {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// A part of a matrix could not be read.
    #[error("a part of it cannot be read")]
    Read {
        /// Why.
        source: std::io::Error,
    },
    /// A part of a matrix that has to be in memory at once does not fit.
    #[error("there is no memory for {bytes} bytes of it")]
    Memory {
        /// How much it is.
        bytes: usize,
    },
    /// A device failed: it has no memory left, for example.
    #[cfg(feature = "candle")]
    #[error("the device failed")]
    Device {
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// A device whose arithmetic is not as exact as intervals take for granted.
    #[cfg(feature = "candle")]
    #[error("products on {device} are off by {error:.1e}, more than {allowed:.1e}: does it round to TF32?")]
    DeviceArithmetic {
        /// The device.
        device: String,
        /// The relative error that was found.
        error: f64,
        /// The largest one that intervals allow for.
        allowed: f64,
    },
}
