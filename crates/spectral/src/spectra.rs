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
use crate::reads::Reads;
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

/// What is known of one pair's operators.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spectra {
    pub(crate) of: [Option<Spectrum>; 3],
    /// Mean squared cosine between the leading right singular subspaces of A and B.
    pub(crate) overlap: Option<Estimate>,
    /// Reads that it took.
    pub(crate) passes: u32,
}

/// The spectra of pairs that go through their passes side by side; all have one shape.
pub(crate) fn spectra(
    reads: &dyn Reads,
    statistics: &[Statistics],
    keys: &[Key<'_>],
    options: &Options,
) -> Result<Vec<Spectra>, Error> {
    let mut spectra = vec![Spectra::default(); statistics.len()];
    let mut iterated = Vec::new();
    for (pair, (statistics, found)) in statistics.iter().zip(&mut spectra).enumerate() {
        let work = without_closed_forms(reads.source(pair), statistics, options, found);
        match decomposition(reads.source(pair), options) {
            Some(way) => decompose(reads.source(pair), &work, way, options, found)?,
            None => iterated.extend(work.into_iter().map(|operator| (pair, operator))),
        }
    }
    match options.method {
        _ if iterated.is_empty() => {}
        Method::PowerIteration { iterations } => {
            let values = power::spectral_norms(reads, &iterated, iterations, keys)?;
            for ((pair, operator), value) in iterated.into_iter().zip(values) {
                spectra[pair].of[operator as usize] = Some(Spectrum::estimate(value));
                spectra[pair].passes = iterations + 1;
            }
        }
        Method::Certified(certification) => {
            let start = |&(pair, operator): &(usize, Operator)| {
                let source = reads.source(pair);
                let norm = norm(source, &statistics[pair], operator);
                let top = top(source, options);
                Iteration::new((pair, operator), source.a.columns, norm, keys[pair], &certification, top)
            };
            iterate(reads, iterated.par_iter().map(start).collect(), &mut spectra)?;
        }
    }
    for (pair, (statistics, found)) in statistics.iter().zip(&mut spectra).enumerate() {
        let unchanged = statistics.changed == 0;
        if unchanged && options.operators.a && options.operators.b {
            let [a, b, _] = &mut found.of;
            b.clone_from(a);
        }
        found.overlap = match &found.of {
            [Some(a), Some(b), _] if top(reads.source(pair), options) > 0 => overlap(a, b, unchanged),
            _ => None,
        };
    }
    Ok(spectra)
}

/// ‖M‖_F in the unit of the operator's scale.
fn norm(source: &Source<'_>, statistics: &Statistics, operator: Operator) -> f64 {
    scale(statistics.frobenius[operator as usize], source.exponent(operator))
}

/// Leading singular values to keep.
fn top(source: &Source<'_>, options: &Options) -> usize {
    options.top_k.min(source.a.rows).min(source.a.columns)
}

/// The operators that take work: all that were asked for but zeros, vectors, and a B that is A.
fn without_closed_forms(
    source: &Source<'_>,
    statistics: &Statistics,
    options: &Options,
    found: &mut Spectra,
) -> Vec<Operator> {
    let short = source.a.rows.min(source.a.columns);
    let unchanged = statistics.changed == 0;
    let mut work = Vec::new();
    for operator in Operator::ALL.into_iter().filter(|operator| options.operators.contains(*operator)) {
        let kept = if options.full_spectrum { short } else { top(source, options) };
        let norm = norm(source, statistics, operator);
        if norm == 0.0 || short <= 1 {
            found.of[operator as usize] = Some(Spectrum::closed_form(norm, kept));
        } else if !(unchanged && operator == Operator::B && options.operators.a) {
            work.push(operator);
        }
    }
    work
}

/// A dense way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decomposition {
    /// By a Gram matrix.
    Gram,
    /// By a singular value decomposition.
    Full,
}

/// Whether a pair of this shape goes a dense way, whatever the engine.
pub(crate) fn decomposition(source: &Source<'_>, options: &Options) -> Option<Decomposition> {
    let (rows, columns) = (source.a.rows, source.a.columns);
    match options.method {
        Method::PowerIteration { .. } => None,
        Method::Certified(_) if options.full_spectrum && Options::fits_full_spectrum(rows, columns) => {
            Some(Decomposition::Full)
        }
        Method::Certified(_) => {
            let no_room = rows.min(columns) <= top(source, options) + 4 * BLOCK;
            (dense::is_small(rows, columns) || no_room).then_some(Decomposition::Gram)
        }
    }
}

fn decompose(
    source: &Source<'_>,
    work: &[Operator],
    way: Decomposition,
    options: &Options,
    found: &mut Spectra,
) -> Result<(), Error> {
    let top = top(source, options);
    let full = way == Decomposition::Full || options.full_spectrum;
    let decompose = |operator: &Operator| {
        let spectrum = match way {
            Decomposition::Gram => dense::by_gram(source, *operator, top),
            Decomposition::Full => dense::by_decomposition(source, *operator, top),
        };
        Ok((*operator, Spectrum::dense(spectrum?, dense::rounding(source), top, full)))
    };
    for (operator, spectrum) in work.par_iter().map(decompose).collect::<Result<Vec<_>, Error>>()? {
        found.of[operator as usize] = Some(spectrum);
        found.passes = 1;
    }
    Ok(())
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
