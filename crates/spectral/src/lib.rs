//! Norms, spectral norms and stable ranks of large matrices and of their difference.
//!
//! [`summarize_pair`] takes two matrices of one shape, A and B, as borrowed bytes of any of twelve dtypes, and tells
//! their Frobenius norms, spectral norms σ₁ and stable ranks ‖M‖²_F / σ₁², those of ΔW = B − A, their cosine
//! similarity and the distribution of ΔW's entries. Nothing is copied: elements are widened to f32 a tile at a time,
//! and one read serves all three matrices.
//!
//! Every σ₁ and every stable rank comes as an interval that contains the truth but for a stated probability (1e-9 by
//! default). Block Lanczos with a random start narrows it, one read of the data a step for all three matrices, until it
//! is narrow enough (1e-4 by default); the module `certificate` has the theorem and its proof. Small matrices get a
//! dense decomposition in f64. [`Stop`] tells why a computation ended. A handful of power iterations, the usual way,
//! misses σ₁ by several per cent and does not say so; [`Method::PowerIteration`] gives them where old results are to be
//! compared.
//!
//! By-products: effective ranks with an error estimate, the leading singular values with intervals
//! ([`Options::top_k`]), how the leading subspaces of A and B overlap, and whole spectra of matrices that are not too
//! large ([`Options::full_spectrum`]).
//!
//! Differences are formed in f32 (in f64 for f64 and i64 elements), products are f32, and sums that end up in a result
//! are f64. Matrices are scaled by powers of two where their entries are very large or very small. Results have the
//! same bits on any number of threads.
//!
//! An [`Engine`] computes the same for several pairs: [`CpuEngine`] is `summarize_pair`; with the feature `candle`,
//! `DeviceEngine` reads the entries on a device of candle, such as a GPU (features `cuda` and `metal`), and leaves small
//! algebra and certificates to the CPU.
//!
//! ```
//! use spectral::{Dtype, Matrix, Options, Outcome, summarize_pair};
//!
//! let bytes = |values: [f32; 4]| values.map(f32::to_le_bytes).concat();
//! let (a, b) = (bytes([1.0, 0.0, 0.0, 1.0]), bytes([1.0, 0.0, 2.0, 1.0]));
//! let a = Matrix::new(2, 2, Dtype::F32, &a)?;
//! let b = Matrix::new(2, 2, Dtype::F32, &b)?;
//! let Outcome::Finite(pair) = summarize_pair(&a, &b, "layers.0.weight", &Options::default())? else {
//!     panic!("the entries are finite");
//! };
//! assert_eq!((pair.delta.frobenius, pair.changed), (2.0, 1));
//! assert!(pair.a.spectral_interval.is_some_and(|interval| interval.contains(1.0)));
//! assert!(pair.b.spectral_interval.is_some_and(|interval| interval.contains(1.0 + 2f64.sqrt())));
//! # Ok::<(), spectral::Error>(())
//! ```

mod block;
mod certificate;
mod dense;
#[cfg(feature = "candle")]
mod device;
mod engine;
mod error;
mod fused_pass;
mod iteration;
mod kernels;
mod lanczos;
mod matrix;
mod options;
pub mod passes;
mod power;
mod quadrature;
mod random;
mod reads;
mod source;
mod spectra;
mod statistics;
mod summary;
mod tridiagonal;
mod vectors;
mod widen;

#[cfg(feature = "candle")]
pub use device::DeviceEngine;
pub use engine::{CpuEngine, Engine, NamedPair};
pub use error::Error;
pub use kernels::instruction_set;
pub use matrix::{Dtype, Matrix, ReadAt};
pub use options::{Certification, Method, Operators, Options};
pub use quadrature::Estimate;
pub use spectra::Stop;
pub use statistics::NonFinite;
pub use summary::{
    FullSpectrum, Interval, MatrixSummary, Outcome, PairSummary, SingularValue, summarize_pair,
};
