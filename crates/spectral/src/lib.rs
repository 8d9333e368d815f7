//! Norms, spectral norms and stable ranks of large matrices and of their difference.
//!
//! [`summarize_pair`] takes two matrices of one shape, A and B, as borrowed bytes of any of twelve dtypes, and tells
//! their Frobenius norms, spectral norms σ₁ and stable ranks ‖M‖²_F / σ₁², those of ΔW = B − A, their cosine
//! similarity and the distribution of ΔW's entries. Nothing is copied: elements are widened to f32 a tile at a time,
//! and one read serves all three matrices.
//!
//! σ₁ comes from block Lanczos with full reorthogonalisation, stopped when its residuals say that the relative error
//! is below the tolerance (1e-4 by default; small matrices get a dense decomposition in f64). A handful of power
//! iterations, the usual way, misses σ₁ by several per cent; [`Method::PowerIteration`] gives them where old results
//! are to be compared.
//!
//! Differences are formed in f32 (in f64 for f64 and i64 elements), products are f32, and sums that end up in a result
//! are f64. Matrices are scaled by powers of two where their entries are very large or very small. Results have the
//! same bits on any number of threads.
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
//! assert_eq!((pair.delta.frobenius, pair.delta.stable_rank, pair.changed), (2.0, Some(1.0), 1));
//! assert!((pair.a.spectral - 1.0).abs() < 1e-12);
//! assert!((pair.b.spectral - (1.0 + 2f64.sqrt())).abs() < 1e-12);
//! # Ok::<(), spectral::Error>(())
//! ```

mod dense;
mod error;
mod fused_pass;
mod kernels;
mod lanczos;
mod matrix;
mod power;
mod random;
mod source;
mod statistics;
mod summary;
mod widen;

pub use error::Error;
pub use matrix::{Dtype, Matrix};
pub use statistics::NonFinite;
pub use summary::{MatrixSummary, Method, Options, Outcome, PairSummary, summarize_pair};
