//! What was measured of hidden states: sums over the tokens of one sample at one layer.
//!
//! ‖h‖₂ and ‖h‖₁ are the norms of one token's hidden state h, a vector as long as the model is wide. A token with a norm
//! that is not finite (NaN or infinite) is counted as such, and is in no sum, minimum, maximum or other count.

/// Where in the model a hidden state was taken; the names follow TransformerLens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// `embed`: the embeddings as they enter block 0; layer 0.
    Embed,
    /// `resid_post`: the residual stream after block i − 1; layer i.
    ResidPost,
    /// `final_norm`: the output of the last block after the final norm; the last layer.
    FinalNorm,
    /// `pre_norm`: the same before the final norm. It shares the last layer's number, and is in no mean over layers.
    PreNorm,
}

impl Site {
    pub(crate) const ALL: [Self; 4] = [Self::Embed, Self::ResidPost, Self::FinalNorm, Self::PreNorm];

    /// Its name in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::ResidPost => "resid_post",
            Self::FinalNorm => "final_norm",
            Self::PreNorm => "pre_norm",
        }
    }
}

impl AsRef<str> for Site {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

/// Norms of one sample's hidden states at one layer, summed over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenNorms {
    /// Tokens whose norms are finite: those that the sums are over. At 0, nothing below but `non_finite_tokens` counts.
    pub tokens: u64,
    /// Σ‖h‖₂.
    pub sum_l2: f64,
    /// Σ‖h‖₂².
    pub sum_l2_squared: f64,
    /// Σ‖h‖₁.
    pub sum_l1: f64,
    /// Smallest ‖h‖₂.
    pub min_l2: f64,
    /// Largest ‖h‖₂.
    pub max_l2: f64,
    /// Tokens with a norm that is not finite.
    pub non_finite_tokens: u64,
}

/// Hidden states of one sample at one layer in models A and B, compared token by token and summed over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenDifferences {
    /// Tokens at which the norms of h_a, h_b and h_b − h_a are finite: those that the sums are over.
    pub tokens: u64,
    /// Σ‖h_a‖₁.
    pub a_sum_l1: f64,
    /// Σ‖h_a‖₂.
    pub a_sum_l2: f64,
    /// Σ‖h_b‖₁.
    pub b_sum_l1: f64,
    /// Σ‖h_b‖₂.
    pub b_sum_l2: f64,
    /// Σ‖h_b − h_a‖₁.
    pub difference_sum_l1: f64,
    /// Σ‖h_b − h_a‖₂.
    pub difference_sum_l2: f64,
    /// Those of the tokens at which the cosine is defined: neither vector is zero.
    pub cosine_tokens: u64,
    /// Σ⟨h_a, h_b⟩ / (‖h_a‖₂ ‖h_b‖₂), over `cosine_tokens`.
    pub cosine_sum: f64,
    /// Those of the tokens at which h_a is not zero.
    pub relative_tokens: u64,
    /// Σ‖h_b − h_a‖₂ / ‖h_a‖₂, over `relative_tokens`.
    pub relative_sum: f64,
    /// Tokens with a norm that is not finite.
    pub non_finite_tokens: u64,
}

/// The hidden states of one model at one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorms {
    /// Index as transformers counts hidden states: 0 for the embeddings, i for the output of block i − 1.
    pub layer: u32,
    /// Where that is.
    pub site: Site,
    /// One entry a sample, in the same order at every layer; entries of 0 tokens keep their place.
    pub samples: Vec<TokenNorms>,
}

/// The hidden states of models A and B at one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerDifferences {
    /// Index as transformers counts hidden states: 0 for the embeddings, i for the output of block i − 1.
    pub layer: u32,
    /// Where that is.
    pub site: Site,
    /// One entry a sample, in the same order at every layer; entries of 0 tokens keep their place.
    pub samples: Vec<TokenDifferences>,
}

/// Hidden states for tests, and their sums by definition.
#[cfg(test)]
pub(crate) mod examples {
    use super::{TokenDifferences, TokenNorms};

    pub(crate) type Hidden = &'static [[f64; 2]];

    /// Hidden states of three samples of 2, 1 and 3 tokens in two models; the expected values are numpy's, from these.
    pub(crate) const A: [Hidden; 3] =
        [&[[3., 4.], [0., 0.]], &[[1., -1.]], &[[6., 8.], [-5., 12.], [8., -15.]]];
    pub(crate) const B: [Hidden; 3] =
        [&[[3., 5.], [1., 0.]], &[[0., 0.]], &[[6., 8.], [-5., -12.], [8., 15.]]];

    fn l1([x, y]: [f64; 2]) -> f64 {
        x.abs() + y.abs()
    }

    fn l2([x, y]: [f64; 2]) -> f64 {
        x.hypot(y)
    }

    pub(crate) fn norms(hidden: &[[f64; 2]]) -> TokenNorms {
        let l2s = || hidden.iter().map(|&h| l2(h));
        TokenNorms {
            tokens: hidden.len() as u64,
            sum_l2: l2s().sum(),
            sum_l2_squared: l2s().map(|norm| norm * norm).sum(),
            sum_l1: hidden.iter().map(|&h| l1(h)).sum(),
            min_l2: l2s().fold(f64::INFINITY, f64::min),
            max_l2: l2s().fold(0.0, f64::max),
            non_finite_tokens: 0,
        }
    }

    pub(crate) fn differences(a: &[[f64; 2]], b: &[[f64; 2]]) -> TokenDifferences {
        let mut sums = TokenDifferences::default();
        for (&a, &b) in a.iter().zip(b) {
            let difference = [b[0] - a[0], b[1] - a[1]];
            sums.tokens += 1;
            sums.a_sum_l1 += l1(a);
            sums.a_sum_l2 += l2(a);
            sums.b_sum_l1 += l1(b);
            sums.b_sum_l2 += l2(b);
            sums.difference_sum_l1 += l1(difference);
            sums.difference_sum_l2 += l2(difference);
            if l2(a) > 0.0 {
                sums.relative_tokens += 1;
                sums.relative_sum += l2(difference) / l2(a);
            }
            if l2(a) > 0.0 && l2(b) > 0.0 {
                sums.cosine_tokens += 1;
                sums.cosine_sum += (a[0] * b[0] + a[1] * b[1]) / (l2(a) * l2(b));
            }
        }
        sums
    }

    pub(crate) fn assert_near<const N: usize>(actual: [Option<f64>; N], expected: [f64; N]) {
        let near = |(actual, expected): (&Option<f64>, f64)| {
            actual.is_some_and(|actual| (actual - expected).abs() < 1e-13)
        };
        assert!(actual.iter().zip(expected).all(near), "{actual:?}, not {expected:?}");
    }
}
