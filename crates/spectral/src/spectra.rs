//! The spectra of a pair's matrices: which way each one goes, and how the leading subspaces of A and B overlap.

use faer::Mat;
use rayon::prelude::*;

use crate::Error;
use crate::dense;
use crate::iteration::{BLOCK, Iteration, iterate};
use crate::options::{Method, Options};
use crate::power;
use crate::quadrature::{self, EffectiveRanks, Estimate};
use crate::random::Key;
use crate::source::{Operator, Source, scale};
use crate::statistics::Statistics;
use crate::vectors::dot;

/// Why an iteration stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Stop {
    /// The interval is as narrow as asked for.
    Certified,
    /// Computed in f64: by a dense decomposition, or in closed form for a vector or a zero matrix.
    Dense,
    /// The reads allowed ran out; the interval is wider than asked for.
    Budget,
    /// f32 arithmetic can tell no more; the interval is wider than asked for.
    RoundOff,
}

impl Stop {
    /// As tables have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certified => "certified",
            Self::Dense => "dense",
            Self::Budget => "budget",
            Self::RoundOff => "round_off",
        }
    }
}

/// What is known of one operator's spectrum, in the unit of its scale.
#[derive(Clone, Debug)]
pub(crate) struct Spectrum {
    /// Lower and upper bound of σ₁; equal to each other for an estimate without one.
    pub(crate) norm: [f64; 2],
    /// `None` for an estimate without bounds.
    pub(crate) stop: Option<Stop>,
    pub(crate) ranks: Option<EffectiveRanks>,
    /// Value, lower and upper bound of the leading singular values, or of all of them.
    pub(crate) values: Vec<[f64; 3]>,
    /// True if `values` are all there are.
    pub(crate) full: bool,
    /// Right singular vectors of the leading values.
    pub(crate) leading: Option<Leading>,
}

#[derive(Clone, Debug)]
pub(crate) struct Leading {
    /// As columns.
    pub(crate) vectors: Mat<f64>,
    /// A bound of ‖sin Θ‖_F between their span and the true one, if there is a gap.
    pub(crate) angle: Option<f64>,
}

pub(crate) struct Spectra {
    pub(crate) of: [Option<Spectrum>; 3],
    /// Mean squared cosine between the leading right singular subspaces of A and B.
    pub(crate) overlap: Option<Estimate>,
    /// Reads that it took.
    pub(crate) passes: u32,
}

pub(crate) fn spectra(
    source: &Source<'_>,
    statistics: &Statistics,
    key: Key<'_>,
    options: &Options,
) -> Result<Spectra, Error> {
    let (rows, columns) = (source.a.rows, source.a.columns);
    let short = rows.min(columns);
    let top = options.top_k.min(short);
    let unchanged = statistics.changed == 0;
    let norm = |operator: Operator| scale(statistics.frobenius[operator as usize], source.exponent(operator));
    let mut found = [const { None }; 3];
    let mut passes = 0;
    let mut work = Vec::new();
    for operator in Operator::ALL.into_iter().filter(|operator| options.operators.contains(*operator)) {
        let kept = if options.full_spectrum { short } else { top };
        if norm(operator) == 0.0 || short <= 1 {
            found[operator as usize] = Some(Spectrum::closed_form(norm(operator), kept));
        } else if !(unchanged && operator == Operator::B && options.operators.a) {
            work.push(operator);
        }
    }
    let dense = |way: fn(&Source<'_>, Operator, usize) -> Result<dense::Spectrum, Error>, full: bool| {
        let decompose = |operator: &Operator| {
            let spectrum = way(source, *operator, top)?;
            Ok((*operator, Spectrum::dense(spectrum, dense::rounding(source), top, full)))
        };
        work.par_iter().map(decompose).collect::<Result<Vec<_>, Error>>()
    };
    match options.method {
        _ if work.is_empty() => {}
        Method::PowerIteration { iterations } => {
            for (operator, value) in work.iter().zip(power::spectral_norms(source, &work, iterations, key)?) {
                found[*operator as usize] = Some(Spectrum::estimate(value));
            }
            passes = iterations + 1;
        }
        Method::Certified(_) if options.full_spectrum && Options::fits_full_spectrum(rows, columns) => {
            for (operator, spectrum) in dense(dense::by_decomposition, true)? {
                found[operator as usize] = Some(spectrum);
            }
            passes = 1;
        }
        Method::Certified(_) if dense::is_small(rows, columns) || short <= top + 4 * BLOCK => {
            for (operator, spectrum) in dense(dense::by_gram, options.full_spectrum)? {
                found[operator as usize] = Some(spectrum);
            }
            passes = 1;
        }
        Method::Certified(certification) => {
            let start = |operator: &Operator| {
                Iteration::new(source, *operator, norm(*operator), key, &certification, top)
            };
            passes = iterate(source, work.par_iter().map(start).collect(), &mut found)?;
        }
    }
    if unchanged && options.operators.a && options.operators.b {
        let [a, b, _] = &mut found;
        b.clone_from(a);
    }
    let overlap = match &found {
        [Some(a), Some(b), _] if top > 0 => overlap(a, b, unchanged),
        _ => None,
    };
    Ok(Spectra { of: found, overlap, passes })
}

impl Spectrum {
    /// A zero matrix, or one with a single row or column.
    fn closed_form(norm: f64, kept: usize) -> Self {
        let bounds = [norm * (1.0 - 1e-12), norm * (1.0 + 1e-12)];
        let first = [norm, bounds[0], bounds[1]];
        let values = std::iter::once(first).chain(std::iter::repeat([0.0; 3])).take(kept).collect();
        Self {
            norm: bounds,
            stop: Some(Stop::Dense),
            ranks: (norm > 0.0).then(|| quadrature::exact(&[norm * norm])),
            values,
            full: true,
            leading: None,
        }
    }

    fn estimate(norm: f64) -> Self {
        Self { norm: [norm, norm], stop: None, ranks: None, values: Vec::new(), full: false, leading: None }
    }

    pub(crate) fn dense(spectrum: dense::Spectrum, rounding: f64, top: usize, full: bool) -> Self {
        let dense::Spectrum { mut values, right } = spectrum;
        let squares: Vec<f64> = values.iter().map(|[value, ..]| value * value).collect();
        let norm = values.first().map_or([0.0; 2], |[_, lower, upper]| [*lower, *upper]);
        let leading = (right.ncols() > 0).then(|| {
            let last = right.ncols() - 1;
            let gap = squares[last] - squares.get(last + 1).copied().unwrap_or(0.0);
            let error = (right.ncols() as f64).sqrt() * rounding * squares.iter().sum::<f64>();
            Leading { vectors: right, angle: (gap > error).then(|| error / gap) }
        });
        if !full {
            values.truncate(top);
        }
        Self {
            norm,
            stop: Some(Stop::Dense),
            ranks: Some(quadrature::exact(&squares)),
            values,
            full,
            leading,
        }
    }
}

/// Mean squared cosine, ‖VₐᵀV_b‖²_F / k. With the projectors' errors √2 ‖sin Θ‖_F it is off by at most
/// √(2/k) (‖sin Θₐ‖_F + ‖sin Θ_b‖_F).
fn overlap(a: &Spectrum, b: &Spectrum, unchanged: bool) -> Option<Estimate> {
    let (Some(a), Some(b)) = (&a.leading, &b.leading) else { return None };
    let count = a.vectors.ncols().min(b.vectors.ncols()) as f64;
    if unchanged {
        return Some(Estimate { value: 1.0, error: 0.0 });
    }
    let products = (0..a.vectors.ncols())
        .flat_map(|i| (0..b.vectors.ncols()).map(move |j| (i, j)))
        .map(|(i, j)| dot(a.vectors.col_as_slice(i), b.vectors.col_as_slice(j)).powi(2));
    let value = (products.sum::<f64>() / count).min(1.0);
    let known = a.angle.zip(b.angle).map_or(1.0, |(a, b)| (2.0 / count).sqrt() * (a + b));
    Some(Estimate { value, error: known.min(value.max(1.0 - value)) })
}
