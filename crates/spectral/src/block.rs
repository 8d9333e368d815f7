//! Small dense blocks of a fixed size, in f64: what block tridiagonal matrices are made of.
//!
//! All of it is inlined into callers that were compiled for an instruction set, which is why it has no calls of its own.
#![allow(clippy::needless_range_loop)] // indices, as the algorithms are written

/// A square block by rows.
pub(crate) type Block<const B: usize> = [[f64; B]; B];

#[inline(always)]
pub(crate) const fn zero<const B: usize>() -> Block<B> {
    [[0.0; B]; B]
}

/// value · I
#[inline(always)]
pub(crate) fn diagonal<const B: usize>(value: f64) -> Block<B> {
    let mut block = zero();
    for (index, row) in block.iter_mut().enumerate() {
        row[index] = value;
    }
    block
}

#[inline(always)]
pub(crate) fn transpose<const B: usize>(a: &Block<B>) -> Block<B> {
    let mut out = zero();
    for (i, row) in a.iter().enumerate() {
        for (j, entry) in row.iter().enumerate() {
            out[j][i] = *entry;
        }
    }
    out
}

/// A·B
#[inline(always)]
pub(crate) fn multiply<const B: usize>(a: &Block<B>, b: &Block<B>) -> Block<B> {
    let mut out = zero();
    for (out, row) in out.iter_mut().zip(a) {
        for (factor, other) in row.iter().zip(b) {
            for (sum, entry) in out.iter_mut().zip(other) {
                *sum += factor * entry;
            }
        }
    }
    out
}

/// Adds factor · X to a block.
#[inline(always)]
pub(crate) fn add<const B: usize>(sum: &mut Block<B>, factor: f64, x: &Block<B>) {
    for (sum, row) in sum.iter_mut().zip(x) {
        for (sum, entry) in sum.iter_mut().zip(row) {
            *sum += factor * entry;
        }
    }
}

/// XᵀX
#[inline(always)]
pub(crate) fn gram<const B: usize>(x: &Block<B>) -> Block<B> {
    let mut out = zero();
    for row in x {
        for (out, factor) in out.iter_mut().zip(row) {
            for (sum, entry) in out.iter_mut().zip(row) {
                *sum += factor * entry;
            }
        }
    }
    out
}

/// The lower triangular C with CCᵀ = S; `None` if S is not positive definite.
#[inline(always)]
pub(crate) fn cholesky<const B: usize>(s: &Block<B>) -> Option<Block<B>> {
    let mut c = *s;
    for j in 0..B {
        let pivot = c[j][j];
        // False for NaN too.
        if !(pivot > 0.0 && pivot.is_finite()) {
            return None;
        }
        let root = pivot.sqrt();
        for row in &mut c[j..] {
            row[j] /= root;
        }
        c[j][j] = root;
        for i in j + 1..B {
            let factor = c[i][j];
            for k in j + 1..=i {
                c[i][k] -= factor * c[k][j];
            }
        }
        for entry in &mut c[j][j + 1..] {
            *entry = 0.0;
        }
    }
    Some(c)
}

/// C⁻¹X for a lower triangular C.
#[inline(always)]
pub(crate) fn solve_lower<const B: usize>(c: &Block<B>, x: &Block<B>) -> Block<B> {
    let mut out = *x;
    for i in 0..B {
        let (before, rest) = out.split_at_mut(i);
        let row = &mut rest[0];
        for (factor, other) in c[i].iter().zip(before) {
            for (entry, other) in row.iter_mut().zip(other) {
                *entry -= factor * *other;
            }
        }
        let pivot = c[i][i];
        for entry in row {
            *entry /= pivot;
        }
    }
    out
}

/// C⁻ᵀX for a lower triangular C.
#[inline(always)]
pub(crate) fn solve_lower_transposed<const B: usize>(c: &Block<B>, x: &Block<B>) -> Block<B> {
    let mut out = *x;
    for i in (0..B).rev() {
        let (rest, after) = out.split_at_mut(i + 1);
        let row = &mut rest[i];
        for (below, other) in c[i + 1..].iter().zip(after) {
            for (entry, other) in row.iter_mut().zip(other) {
                *entry -= below[i] * *other;
            }
        }
        let pivot = c[i][i];
        for entry in row {
            *entry /= pivot;
        }
    }
    out
}

/// An upper bound of the largest eigenvalue of a positive semidefinite block, at most 0.9 % too high for B = 8 and eight
/// squarings, 7 % for five, and nearly exact where one eigenvalue stands out: λ₁ ≤ tr(Sᵖ)^(1/p) ≤ B^(1/p) λ₁, with
/// p up to 2^squarings.
#[inline(always)]
pub(crate) fn largest_eigenvalue_bound<const B: usize>(s: &Block<B>, squarings: u32) -> f64 {
    let mut power = *s;
    let mut bound = 1.0;
    let mut root = 1.0;
    for step in 0..=squarings {
        let size: f64 = (0..B).map(|i| power[i][i]).sum();
        if !(size > 0.0 && size.is_finite()) {
            return if size == 0.0 { 0.0 } else { f64::INFINITY };
        }
        // Sᵖ, with p = 2^step, is boundᵖ · power; from here on power has trace 1.
        bound *= if step == 0 { size } else { size.powf(root) };
        // One eigenvalue is all that is left of the trace.
        if step == squarings || (step > 0 && size > 1.0 - 1e-9) {
            break;
        }
        root *= 0.5;
        let inverse = 1.0 / size;
        for entry in power.iter_mut().flatten() {
            *entry *= inverse;
        }
        power = gram(&power);
    }
    // Rounding of up to eight squarings.
    bound * (1.0 + 1e-14)
}

/// An upper bound of ‖X‖₂, half as much too high.
#[inline(always)]
pub(crate) fn norm_bound<const B: usize>(x: &Block<B>, squarings: u32) -> f64 {
    largest_eigenvalue_bound(&gram(x), squarings).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seed: u32) -> Block<5> {
        let mut state = seed;
        let mut block = zero();
        for entry in block.iter_mut().flatten() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *entry = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
        }
        block
    }

    fn distance(a: &Block<5>, b: &Block<5>) -> f64 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn factors_and_solutions_multiply_back() {
        let mut s = gram(&sample(1));
        add(&mut s, 0.1, &diagonal(1.0));
        let c = cholesky(&s).unwrap();
        assert!(distance(&multiply(&c, &transpose(&c)), &s) < 1e-14);
        let x = sample(2);
        assert!(distance(&multiply(&c, &solve_lower(&c, &x)), &x) < 1e-13);
        assert!(distance(&multiply(&transpose(&c), &solve_lower_transposed(&c, &x)), &x) < 1e-13);
        add(&mut s, -10.0, &diagonal(1.0));
        assert!(cholesky(&s).is_none());
        assert!(cholesky(&diagonal::<5>(f64::NAN)).is_none());
    }

    #[test]
    fn the_bound_of_the_largest_eigenvalue_is_tight_and_never_below() {
        for seed in 0..50 {
            let s = gram(&sample(seed));
            let matrix = faer::Mat::from_fn(5, 5, |i, j| s[i][j]);
            let exact = matrix.self_adjoint_eigenvalues(faer::Side::Lower).unwrap()[4];
            let bound = largest_eigenvalue_bound(&s, 8);
            assert!(bound >= exact * (1.0 - 1e-13) && bound <= exact * 1.007, "{bound} for {exact}");
        }
        for scale in [0.0, 1e-200, 1e150] {
            let bound = largest_eigenvalue_bound(&diagonal::<5>(scale), 8);
            assert!(bound >= scale && bound <= scale * 1.007);
        }
    }
}
