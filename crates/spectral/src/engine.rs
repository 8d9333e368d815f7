//! Engines: what computes the summaries of pairs.

use std::fmt::Debug;

use rayon::prelude::*;

use crate::Error;
use crate::kernels::instruction_set;
use crate::matrix::{Dtype, Matrix};
use crate::options::Options;
use crate::summary::{Outcome, summarize_pair};

/// A pair of matrices and the name that keys its random start vectors.
#[derive(Clone, Copy, Debug)]
pub struct NamedPair<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// A.
    pub a: Matrix<'a>,
    /// B, of the same shape.
    pub b: Matrix<'a>,
}

/// What computes the summaries of pairs. Engines agree within rounding: intervals of all of them contain the truth, Frobenius
/// norms and the other statistics differ by 1e-9 of themselves at most where the engine has f64, and which pairs are not
/// finite is the same. One engine gives the same bits for the same pair, whatever other pairs are computed beside it.
pub trait Engine: Debug + Sync {
    /// What the last bits of a result depend on, such as `cpu, avx512`.
    fn description(&self) -> String;

    /// How many pairs of this shape and these dtypes are best summarized together, if the engine reads each just once;
    /// `None` if it reads them in every pass, so that they had better be in memory.
    fn batch(&self, shape: (usize, usize), dtypes: [Dtype; 2], options: &Options) -> Option<usize>;

    /// [`summarize_pair`] for each pair.
    ///
    /// # Errors
    /// Those of [`summarize_pair`], and of a device [`Error::Device`].
    fn summarize(&self, pairs: &[NamedPair<'_>], options: &Options) -> Result<Vec<Outcome>, Error>;
}

/// [`summarize_pair`] itself, on the threads of the current rayon pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuEngine;

impl Engine for CpuEngine {
    fn description(&self) -> String {
        format!("cpu, {}", instruction_set())
    }

    fn batch(&self, _shape: (usize, usize), _dtypes: [Dtype; 2], _options: &Options) -> Option<usize> {
        None
    }

    fn summarize(&self, pairs: &[NamedPair<'_>], options: &Options) -> Result<Vec<Outcome>, Error> {
        pairs.par_iter().map(|NamedPair { name, a, b }| summarize_pair(a, b, name, options)).collect()
    }
}
