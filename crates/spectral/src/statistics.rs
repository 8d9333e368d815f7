//! The first read of a pair: Frobenius norms, inner product, and the distribution of the entries of ΔW, in f64.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::Error;
use crate::fused_pass::row_chunks;
use crate::kernels::dispatch;
use crate::matrix::Matrix;
use crate::source::{Difference, Source, scale};
use crate::widen;

/// Entries of a matrix that are no finite numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NonFinite {
    /// Not a number.
    pub nan: u64,
    /// Plus or minus infinity.
    pub infinite: u64,
}

impl NonFinite {
    /// True if there are none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.nan == 0 && self.infinite == 0
    }
}

/// What one read tells of a finite pair.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    /// ‖A‖, ‖B‖, ‖ΔW‖ in the Frobenius norm.
    pub(crate) frobenius: [f64; 3],
    pub(crate) cosine_similarity: Option<f64>,
    pub(crate) mean: f64,
    pub(crate) standard_deviation: f64,
    pub(crate) abs_mean: f64,
    pub(crate) abs_max: f64,
    pub(crate) changed: u64,
    /// Reads of the data that it took.
    pub(crate) passes: u32,
}

/// What the first read finds.
#[allow(clippy::large_enum_variant)] // there is one at a time
pub(crate) enum Read<'a> {
    /// The statistics, and the source for the passes to come.
    Finite(Statistics, Source<'a>),
    /// Non-finite entries in A and in B.
    NonFinite([NonFinite; 2]),
}

pub(crate) fn read<'a>(a: Matrix<'a>, b: Matrix<'a>) -> Result<Read<'a>, Error> {
    let wide = a.dtype.needs_f64_difference() || b.dtype.needs_f64_difference();
    let difference = if wide { Difference::F64 } else { Difference::F32 };
    let mut source = Source { a, b, difference, exponents: [0; 3] };
    if a.dtype.fits_f32() && b.dtype.fits_f32() {
        let sums = sum_chunks(&source, |rows, total| dispatch(NarrowSums { rows, total }))?;
        // Squares of f32 neither overflow nor vanish in f64, so a sum that is not finite has an entry that is not.
        if sums.squares.iter().all(|sum| sum.is_finite()) {
            source.exponents = sums.largest.map(exponent_for);
            let statistics = finish(&sums, source.a.element_count(), [0; 3], 1, |mean| {
                squared_deviations(&source, 0, mean)
            })?;
            return Ok(Read::Finite(statistics, source));
        }
    }
    // Anything else: f64 and i32 elements, a difference that overflows f32, entries that are not finite.
    let counts = count_non_finite(&source)?;
    if counts.iter().any(|count| !count.is_none()) {
        return Ok(Read::NonFinite(counts));
    }
    let mut largest = largest_entries(&source)?;
    if !largest[2].is_finite() {
        source.difference = Difference::F64;
        largest = largest_entries(&source)?;
    }
    source.exponents = largest.map(exponent_to_one);
    let exponents = source.exponents;
    let sums = sum_chunks(&source, wide_sums)?;
    let statistics = finish(&sums, source.a.element_count(), exponents, 3, |mean| {
        squared_deviations(&source, exponents[2], mean)
    })?;
    Ok(Read::Finite(statistics, source))
}

/// Sums over some rows; indices are those of [`crate::source::Operator`]. In the unit of each operator's scale.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) squares: [f64; 3],
    /// ⟨A, B⟩
    pub(crate) product: f64,
    pub(crate) delta: f64,
    pub(crate) delta_abs: f64,
    /// The largest absolute entries.
    pub(crate) largest: [f64; 3],
    pub(crate) changed: u64,
    pub(crate) non_finite: [NonFinite; 2],
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Self) {
        for operator in 0..3 {
            self.squares[operator] += other.squares[operator];
            self.largest[operator] = self.largest[operator].max(other.largest[operator]);
        }
        self.product += other.product;
        self.delta += other.delta;
        self.delta_abs += other.delta_abs;
        self.changed += other.changed;
        for (count, other) in self.non_finite.iter_mut().zip(other.non_finite) {
            count.nan += other.nan;
            count.infinite += other.infinite;
        }
    }
}

/// Adds up all rows; `add` adds some of them, which are in memory, to the sums of their chunk.
fn sum_chunks(source: &Source<'_>, add: impl Fn(&Source<'_>, &mut Sums) + Sync) -> Result<Sums, Error> {
    let chunks = row_chunks(source.a.rows, source.a.columns).into_par_iter().map(|rows| {
        let mut sums = Sums::default();
        source.for_each_stretch(&rows, [true; 2], |rows| add(rows, &mut sums))?;
        Ok(sums)
    });
    let mut total = Sums::default();
    for chunk in &chunks.collect::<Result<Vec<Sums>, Error>>()? {
        total.add(chunk);
    }
    Ok(total)
}

/// Sums over dtypes whose values are f32.
struct NarrowSums<'a> {
    rows: &'a Source<'a>,
    total: &'a mut Sums,
}

/// Elements of a row that are summed together, in the first-level cache.
const STRETCH: usize = 512;

impl WithSimd for NarrowSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows: Source { a: matrix_a, b: matrix_b, .. }, total } = self;
        let mut entries = [[0f32; STRETCH]; 3];
        for row in 0..matrix_a.rows {
            for start in (0..matrix_a.columns).step_by(STRETCH) {
                let width = STRETCH.min(matrix_a.columns - start);
                let [a, b, delta] = &mut entries;
                a[width..].fill(0.0);
                b[width..].fill(0.0);
                widen::to_f32(matrix_a, row, start, &mut a[..width]);
                widen::to_f32(matrix_b, row, start, &mut b[..width]);
                for (delta, (a, b)) in delta.iter_mut().zip(a.iter().zip(b.iter())) {
                    *delta = *b - *a;
                }
                total.add(&sum_stretch(simd, &entries));
            }
        }
    }
}

#[inline(always)]
fn sum_stretch<S: Simd>(simd: S, entries: &[[f32; STRETCH]; 3]) -> Sums {
    let mut sums = Sums::default();
    let mut wide = [[0f64; STRETCH]; 3];
    for (wide, (largest, entries)) in wide.iter_mut().zip(sums.largest.iter_mut().zip(entries)) {
        for (wide, entry) in wide.iter_mut().zip(entries) {
            *wide = f64::from(*entry);
        }
        let mut most = simd.splat_f32s(0.0);
        for entry in S::as_simd_f32s(entries).0 {
            most = simd.max_f32s(most, simd.abs_f32s(*entry));
        }
        *largest = f64::from(simd.reduce_max_f32s(most));
    }
    let mut changed = 0u32;
    for delta in &entries[2] {
        changed += u32::from(*delta != 0.0);
    }
    sums.changed = u64::from(changed);

    let zero = simd.splat_f64s(0.0);
    let (mut squares, mut product, mut delta, mut delta_abs) = ([zero; 3], zero, zero, zero);
    let a = S::as_simd_f64s(&wide[0]).0;
    let b = &S::as_simd_f64s(&wide[1]).0[..a.len()];
    let d = &S::as_simd_f64s(&wide[2]).0[..a.len()];
    for at in 0..a.len() {
        let (a, b, d) = (a[at], b[at], d[at]);
        squares[0] = simd.mul_add_e_f64s(a, a, squares[0]);
        squares[1] = simd.mul_add_e_f64s(b, b, squares[1]);
        squares[2] = simd.mul_add_e_f64s(d, d, squares[2]);
        product = simd.mul_add_e_f64s(a, b, product);
        delta = simd.add_f64s(delta, d);
        delta_abs = simd.add_f64s(delta_abs, simd.abs_f64s(d));
    }
    for (sum, lanes) in sums.squares.iter_mut().zip(squares) {
        *sum = simd.reduce_sum_f64s(lanes);
    }
    sums.product = simd.reduce_sum_f64s(product);
    sums.delta = simd.reduce_sum_f64s(delta);
    sums.delta_abs = simd.reduce_sum_f64s(delta_abs);
    sums
}

/// Sums over any finite dtypes, scaled so that neither 1e200 nor 1e-200 is lost.
fn wide_sums(source: &Source<'_>, total: &mut Sums) {
    for_each_row(source, |a, b| {
        let mut sums = Sums::default();
        for (a, b) in a.iter().zip(b) {
            let delta = source.subtract(*a, *b);
            let scaled = [
                scale(*a, source.exponents[0]),
                scale(*b, source.exponents[1]),
                scale(delta, source.exponents[2]),
            ];
            for (operator, entry) in scaled.into_iter().enumerate() {
                sums.squares[operator] += entry * entry;
                sums.largest[operator] = sums.largest[operator].max(entry.abs());
            }
            sums.product += scaled[0] * scaled[1];
            sums.delta += scaled[2];
            sums.delta_abs += scaled[2].abs();
            sums.changed += u64::from(delta != 0.0);
        }
        total.add(&sums);
    });
}

fn for_each_row(source: &Source<'_>, mut visit: impl FnMut(&[f64], &[f64])) {
    let columns = source.a.columns;
    let (mut a, mut b) = (vec![0.0; columns], vec![0.0; columns]);
    for row in 0..source.a.rows {
        widen::to_f64(&source.a, row, 0, &mut a);
        widen::to_f64(&source.b, row, 0, &mut b);
        visit(&a, &b);
    }
}

fn largest_entries(source: &Source<'_>) -> Result<[f64; 3], Error> {
    let sums = sum_chunks(source, |source, sums| {
        for_each_row(source, |a, b| {
            for (a, b) in a.iter().zip(b) {
                for (largest, entry) in sums.largest.iter_mut().zip([*a, *b, source.subtract(*a, *b)]) {
                    *largest = largest.max(entry.abs());
                }
            }
        });
    });
    Ok(sums?.largest)
}

fn count_non_finite(source: &Source<'_>) -> Result<[NonFinite; 2], Error> {
    let sums = sum_chunks(source, |source, sums| {
        for_each_row(source, |a, b| {
            for (count, values) in sums.non_finite.iter_mut().zip([a, b]) {
                for value in values {
                    count.nan += u64::from(value.is_nan());
                    count.infinite += u64::from(value.is_infinite());
                }
            }
        });
    });
    Ok(sums?.non_finite)
}

/// The power of two that brings an entry into [1, 2); 0 for no entry.
fn exponent_to_one(largest: f64) -> i32 {
    if largest == 0.0 { 0 } else { -largest.log2().floor() as i32 }
}

/// The same for f32 arithmetic, where entries of ordinary size need no scaling.
pub(crate) fn exponent_for(largest: f64) -> i32 {
    let exponent = exponent_to_one(largest);
    if exponent.abs() <= 30 { 0 } else { exponent }
}

/// From sums in the unit `2^-exponents` over so many entries to statistics in the unit of the entries. `deviations`
/// gives Σ(δ − mean)² in that unit by one more read.
pub(crate) fn finish(
    sums: &Sums,
    count: usize,
    exponents: [i32; 3],
    passes: u32,
    deviations: impl FnOnce(f64) -> Result<f64, Error>,
) -> Result<Statistics, Error> {
    let count = (count as f64).max(1.0);
    let frobenius: [f64; 3] =
        std::array::from_fn(|operator| scale(sums.squares[operator].sqrt(), -exponents[operator]));
    // One root of the product, so that equal matrices have a cosine of exactly 1.
    let norms = (sums.squares[0] * sums.squares[1]).sqrt();
    let mean = sums.delta / count;
    let mean_square = sums.squares[2] / count;
    let mut variance = mean_square - mean * mean;
    let mut reads = passes;
    // Where the mean outweighs the spread, the difference of the two has lost its digits: read once more.
    if variance < 1e-3 * mean_square && mean_square > 0.0 {
        variance = deviations(mean)? / count;
        reads += 1;
    }
    let unscaled = |value: f64| scale(value, -exponents[2]);
    Ok(Statistics {
        frobenius,
        cosine_similarity: (norms > 0.0).then(|| (sums.product / norms).clamp(-1.0, 1.0)),
        mean: unscaled(mean),
        standard_deviation: unscaled(variance.max(0.0).sqrt()),
        abs_mean: unscaled(sums.delta_abs / count),
        abs_max: unscaled(sums.largest[2]),
        changed: sums.changed,
        passes: reads,
    })
}

pub(crate) fn squared_deviations(source: &Source<'_>, exponent: i32, mean: f64) -> Result<f64, Error> {
    let sums = sum_chunks(source, |source, sums| {
        for_each_row(source, |a, b| {
            let deviations = a.iter().zip(b).map(|(a, b)| scale(source.subtract(*a, *b), exponent) - mean);
            sums.delta += deviations.map(|deviation| deviation * deviation).sum::<f64>();
        });
    });
    Ok(sums?.delta)
}
