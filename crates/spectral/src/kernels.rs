//! The two inner loops: rows times a few vectors, and the vectors' update by the rows. SIMD by `pulp`, chosen at run
//! time; f32 products, summed in f32 over one tile and in f64 over tiles.

use pulp::Simd;

/// Rows handled together: twice the rows that keep a dot kernel's sums in sixteen registers.
pub(crate) const GROUP: usize = 6;
/// Columns handled together: a group's rows and the vectors beside them stay in the first-level cache.
pub(crate) const TILE: usize = 512;
/// Vectors are padded with zeros to a multiple of the widest SIMD register, in f32.
pub(crate) const LANES: usize = 16;

const DOT_ROWS: usize = GROUP / 2;

/// Some row vectors of one length, stored one after another.
#[derive(Clone, Copy)]
pub(crate) struct Vectors<'a> {
    pub(crate) values: &'a [f32],
    /// Distance between the starts of two vectors: a multiple of [`LANES`].
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

impl<'a> Vectors<'a> {
    #[inline(always)]
    fn part(&self, vector: usize, start: usize, width: usize) -> &'a [f32] {
        &self.values[vector * self.stride + start..][..width]
    }
}

// Loops rather than closures throughout: a closure is compiled without the instruction set of its caller.

/// Adds to `sums` (rows × vectors) the products of a tile of rows with the vectors' elements from `start` on.
#[inline(always)]
pub(crate) fn project<S: Simd>(
    simd: S,
    rows: &[&[f32]; GROUP],
    vectors: Vectors<'_>,
    start: usize,
    sums: &mut [f64],
) {
    let width = rows[0].len();
    for first_row in [0, DOT_ROWS] {
        let rows = [rows[first_row], rows[first_row + 1], rows[first_row + 2]];
        let mut vector = 0;
        while vector + 4 <= vectors.count {
            let mut four = [vectors.part(vector, start, width); 4];
            for (k, part) in four.iter_mut().enumerate() {
                *part = vectors.part(vector + k, start, width);
            }
            add(sums, vectors.count, first_row, vector, dots::<S, 4>(simd, rows, four));
            vector += 4;
        }
        while vector < vectors.count {
            let one = [vectors.part(vector, start, width)];
            add(sums, vectors.count, first_row, vector, dots::<S, 1>(simd, rows, one));
            vector += 1;
        }
    }
}

#[inline(always)]
fn add<const K: usize>(
    sums: &mut [f64],
    count: usize,
    first_row: usize,
    vector: usize,
    dots: [[f32; K]; DOT_ROWS],
) {
    for (row, dots) in dots.iter().enumerate() {
        for (sum, dot) in sums[(first_row + row) * count + vector..][..K].iter_mut().zip(dots) {
            *sum += f64::from(*dot);
        }
    }
}

#[inline(always)]
fn dots<S: Simd, const K: usize>(
    simd: S,
    rows: [&[f32]; DOT_ROWS],
    vectors: [&[f32]; K],
) -> [[f32; K]; DOT_ROWS] {
    let length = rows[0].len() / S::F32_LANES;
    let rows = simd_slices::<S, DOT_ROWS>(&rows, length);
    let vectors = simd_slices::<S, K>(&vectors, length);
    let mut sums = [[simd.splat_f32s(0.0); K]; DOT_ROWS];
    for at in 0..length {
        // Three entries, one vector element and twelve sums: sixteen registers.
        let (first, second, third) = (rows[0][at], rows[1][at], rows[2][at]);
        for k in 0..K {
            let element = vectors[k][at];
            sums[0][k] = simd.mul_add_e_f32s(first, element, sums[0][k]);
            sums[1][k] = simd.mul_add_e_f32s(second, element, sums[1][k]);
            sums[2][k] = simd.mul_add_e_f32s(third, element, sums[2][k]);
        }
    }
    let mut dots = [[0.0; K]; DOT_ROWS];
    for row in 0..DOT_ROWS {
        for k in 0..K {
            dots[row][k] = simd.reduce_sum_f32s(sums[row][k]);
        }
    }
    dots
}

/// The slices in registers' widths, all cut to one length, so that no access to them needs a check.
#[inline(always)]
fn simd_slices<'a, S: Simd, const N: usize>(slices: &[&'a [f32]; N], length: usize) -> [&'a [S::f32s]; N] {
    let mut out = [&S::as_simd_f32s(slices[0]).0[..length]; N];
    for (out, slice) in out.iter_mut().zip(slices) {
        *out = &S::as_simd_f32s(slice).0[..length];
    }
    out
}

/// Adds to the vectors `outputs` (of `stride`, from `start` on) the rows of a tile, each times its weight for the
/// vector (`weights`: rows × vectors).
#[inline(always)]
pub(crate) fn accumulate<S: Simd>(
    simd: S,
    rows: &[&[f32]; GROUP],
    weights: &[f32],
    outputs: &mut [f32],
    stride: usize,
    start: usize,
) {
    let width = rows[0].len();
    let count = weights.len() / GROUP;
    let mut vectors = outputs.chunks_mut(stride).take(count);
    let mut vector = 0;
    while let Some(first) = vectors.next() {
        let first = &mut first[start..start + width];
        if let Some(second) = vectors.next() {
            let second = &mut second[start..start + width];
            update_two(simd, rows, &weights[vector..], count, first, second);
        } else {
            update_one(simd, rows, &weights[vector..], count, first);
        }
        vector += 2;
    }
}

/// The weights of one vector in registers; those of its rows stand `count` apart.
#[inline(always)]
fn splat_weights<S: Simd>(simd: S, weights: &[f32], count: usize) -> [S::f32s; GROUP] {
    let mut splat = [simd.splat_f32s(0.0); GROUP];
    for (splat, weight) in splat.iter_mut().zip(weights.iter().step_by(count)) {
        *splat = simd.splat_f32s(*weight);
    }
    splat
}

#[inline(always)]
fn update_two<S: Simd>(
    simd: S,
    rows: &[&[f32]; GROUP],
    weights: &[f32],
    count: usize,
    first: &mut [f32],
    second: &mut [f32],
) {
    let length = rows[0].len() / S::F32_LANES;
    let rows = simd_slices::<S, GROUP>(rows, length);
    let first_weights = splat_weights(simd, weights, count);
    let second_weights = splat_weights(simd, &weights[1..], count);
    let first = &mut S::as_mut_simd_f32s(first).0[..length];
    let second = &mut S::as_mut_simd_f32s(second).0[..length];
    for at in 0..length {
        let (mut x, mut y) = (first[at], second[at]);
        for row in 0..GROUP {
            let entry = rows[row][at];
            x = simd.mul_add_e_f32s(entry, first_weights[row], x);
            y = simd.mul_add_e_f32s(entry, second_weights[row], y);
        }
        first[at] = x;
        second[at] = y;
    }
}

#[inline(always)]
fn update_one<S: Simd>(simd: S, rows: &[&[f32]; GROUP], weights: &[f32], count: usize, output: &mut [f32]) {
    let length = rows[0].len() / S::F32_LANES;
    let rows = simd_slices::<S, GROUP>(rows, length);
    let weights = splat_weights(simd, weights, count);
    let output = &mut S::as_mut_simd_f32s(output).0[..length];
    for at in 0..length {
        let mut sum = output[at];
        for row in 0..GROUP {
            sum = simd.mul_add_e_f32s(rows[row][at], weights[row], sum);
        }
        output[at] = sum;
    }
}
