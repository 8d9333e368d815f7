//! The two inner loops: rows times a few vectors, and the vectors' update by the rows. SIMD by `pulp`, chosen at run
//! time; f32 products, summed in f32 over one tile and in f64 over tiles.
//!
//! Sums (or weights) of a few rows times a few vectors stay in registers: 3 × 4 where there are sixteen, 6 × 4 where there
//! are thirty-two (AVX-512, NEON).

use pulp::{Arch, Scalar256b, Simd, WithSimd};

/// Rows handled together.
pub(crate) const GROUP: usize = 6;
/// Columns handled together: a group's rows and the vectors beside them stay in the first-level cache.
pub(crate) const TILE: usize = 512;
/// Vectors are padded with zeros to a multiple of the widest SIMD register, in f32.
pub(crate) const LANES: usize = 16;

/// Runs an operation with the widest instruction set of this machine. Where it has none that is known, with registers of
/// eight lanes that the compiler spells out: a single lane would add all products of a tile to one sum.
pub(crate) fn dispatch<O: WithSimd>(operation: O) -> O::Output {
    match Arch::new() {
        Arch::Scalar => operation.with_simd(Scalar256b),
        arch => arch.dispatch(operation),
    }
}

/// The instruction set that kernels use on this machine, as `pulp` calls it. The last bits of results depend on it.
#[must_use]
pub fn instruction_set() -> &'static str {
    struct Name;
    impl WithSimd for Name {
        type Output = &'static str;
        fn with_simd<S: Simd>(self, _: S) -> &'static str {
            std::any::type_name::<S>()
        }
    }
    dispatch(Name)
}

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
    let mut vector = 0;
    while vector + 4 <= vectors.count {
        let mut four = [vectors.part(vector, start, width); 4];
        for (k, part) in four.iter_mut().enumerate() {
            *part = vectors.part(vector + k, start, width);
        }
        if S::REGISTER_COUNT >= 32 {
            add(sums, vectors.count, 0, vector, dots(simd, *rows, four));
        } else {
            let [a, b, c, d, e, f] = *rows;
            add(sums, vectors.count, 0, vector, dots(simd, [a, b, c], four));
            add(sums, vectors.count, 3, vector, dots(simd, [d, e, f], four));
        }
        vector += 4;
    }
    while vector < vectors.count {
        let one = [vectors.part(vector, start, width)];
        add(sums, vectors.count, 0, vector, dots(simd, *rows, one));
        vector += 1;
    }
}

#[inline(always)]
fn add<const R: usize, const K: usize>(
    sums: &mut [f64],
    count: usize,
    first_row: usize,
    vector: usize,
    dots: [[f32; K]; R],
) {
    for (row, dots) in dots.iter().enumerate() {
        for (sum, dot) in sums[(first_row + row) * count + vector..][..K].iter_mut().zip(dots) {
            *sum += f64::from(*dot);
        }
    }
}

#[inline(always)]
fn dots<S: Simd, const R: usize, const K: usize>(
    simd: S,
    rows: [&[f32]; R],
    vectors: [&[f32]; K],
) -> [[f32; K]; R] {
    let length = rows[0].len() / S::F32_LANES;
    let rows = simd_slices::<S, R>(&rows, length);
    let vectors = simd_slices::<S, K>(&vectors, length);
    let mut sums = [[simd.splat_f32s(0.0); K]; R];
    for at in 0..length {
        let mut entries = [rows[0][at]; R];
        for row in 1..R {
            entries[row] = rows[row][at];
        }
        for k in 0..K {
            let element = vectors[k][at];
            for row in 0..R {
                sums[row][k] = simd.mul_add_e_f32s(entries[row], element, sums[row][k]);
            }
        }
    }
    let mut dots = [[0.0; K]; R];
    for row in 0..R {
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
    let mut outputs = outputs.chunks_mut(stride).take(count);
    let mut next = || outputs.next().map_or(&mut [][..], |output| &mut output[start..start + width]);
    let mut vector = 0;
    if S::REGISTER_COUNT >= 32 {
        while vector + 4 <= count {
            update(simd, rows, &weights[vector..], count, [next(), next(), next(), next()]);
            vector += 4;
        }
    }
    while vector + 2 <= count {
        update(simd, rows, &weights[vector..], count, [next(), next()]);
        vector += 2;
    }
    if vector < count {
        update(simd, rows, &weights[vector..], count, [next()]);
    }
}

/// The weights of a row for the vectors stand side by side; those of two rows `count` apart.
#[inline(always)]
fn update<S: Simd, const K: usize>(
    simd: S,
    rows: &[&[f32]; GROUP],
    weights: &[f32],
    count: usize,
    outputs: [&mut [f32]; K],
) {
    let length = rows[0].len() / S::F32_LANES;
    let rows = simd_slices::<S, GROUP>(rows, length);
    let mut splat = [[simd.splat_f32s(0.0); GROUP]; K];
    for (k, splat) in splat.iter_mut().enumerate() {
        for (splat, weight) in splat.iter_mut().zip(weights[k..].iter().step_by(count)) {
            *splat = simd.splat_f32s(*weight);
        }
    }
    let outputs = outputs.map(|output| &mut S::as_mut_simd_f32s(output).0[..length]);
    for at in 0..length {
        let mut sums = [splat[0][0]; K];
        for k in 0..K {
            sums[k] = outputs[k][at];
        }
        for row in 0..GROUP {
            let entry = rows[row][at];
            for k in 0..K {
                sums[k] = simd.mul_add_e_f32s(entry, splat[k][row], sums[k]);
            }
        }
        for k in 0..K {
            outputs[k][at] = sums[k];
        }
    }
}
