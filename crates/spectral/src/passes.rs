//! The single passes over a pair's data that [`crate::summarize_pair`] is made of, for measuring them.

use crate::Error;
use crate::fused_pass::{fused_pass, padded};
use crate::kernels::Vectors;
use crate::matrix::Matrix;
use crate::options::Operators;
use crate::random::Key;
use crate::source::Operator;
use crate::statistics::{self, Read};

/// The statistics pass: ‖A‖_F, ‖B‖_F and ‖ΔW‖_F of a finite pair; NaN for one that is not finite.
///
/// # Errors
/// [`Error::Read`].
pub fn statistics_pass(a: &Matrix<'_>, b: &Matrix<'_>) -> Result<[f64; 3], Error> {
    Ok(match statistics::read(*a, *b)? {
        Read::Finite(statistics, _) => statistics.frobenius,
        Read::NonFinite(_) => [f64::NAN; 3],
    })
}

/// Products MᵀM V, made again and again.
#[derive(Debug)]
pub struct FusedPass<'a> {
    source: crate::source::Source<'a>,
    blocks: Vec<(Operator, Vec<f32>)>,
    count: usize,
}

impl<'a> FusedPass<'a> {
    /// For `count` random vectors for each operator of a finite pair of one shape.
    ///
    /// # Errors
    /// [`Error::ShapesDiffer`], also for a pair that is not finite; [`Error::Read`].
    pub fn new(a: &Matrix<'a>, b: &Matrix<'a>, operators: Operators, count: usize) -> Result<Self, Error> {
        let differ = Error::ShapesDiffer { a: (a.rows, a.columns), b: (b.rows, b.columns) };
        if (a.rows, a.columns) != (b.rows, b.columns) {
            return Err(differ);
        }
        let Read::Finite(_, source) = statistics::read(*a, *b)? else { return Err(differ) };
        let stride = padded(a.columns);
        let block = |operator: Operator| {
            let mut random = Key { seed: 0, name: "" }.generator(operator, 0);
            let mut block = vec![0f32; count * stride];
            let mut vector = vec![0f64; a.columns];
            for out in block.chunks_mut(stride) {
                random.fill(&mut vector);
                out.iter_mut().zip(&vector).for_each(|(narrow, wide)| *narrow = *wide as f32);
            }
            (operator, block)
        };
        let wanted = Operator::ALL.into_iter().filter(|operator| operators.contains(*operator));
        Ok(Self { source, blocks: wanted.map(block).collect(), count })
    }

    /// One read of the pair. Returns the products, operator by operator.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn run(&self) -> Result<Vec<Vec<f64>>, Error> {
        let stride = padded(self.source.a.columns);
        let vectors = |values| Vectors { values, stride, count: self.count };
        let active: Vec<_> =
            self.blocks.iter().map(|(operator, block)| (*operator, vectors(block.as_slice()))).collect();
        fused_pass(&self.source, &active)
    }
}
