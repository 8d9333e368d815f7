//! From the sums that hooks took to the layers that tables are made of.

use std::ops::Range;

use activations::{DifferenceSums, Differences, HookPoint, NormSums, Norms};
use report::{LayerDifferences, LayerNorms, Site, TokenDifferences, TokenNorms};

/// Where hidden states are taken, in the order of the tables: layer, its name there, and its name among hook points.
fn places(blocks: usize) -> impl Iterator<Item = (u32, Site, HookPoint)> {
    let embed = (0, Site::Embed, HookPoint::Embed);
    let between = (1..blocks).map(|layer| (layer as u32, Site::ResidPost, HookPoint::ResidPost(layer - 1)));
    let last = blocks as u32;
    let final_norm = (last, Site::FinalNorm, HookPoint::FinalNorm);
    let pre_norm = blocks.checked_sub(1).map(|block| (last, Site::PreNorm, HookPoint::ResidPost(block)));
    std::iter::once(embed).chain(between).chain([final_norm]).chain(pre_norm)
}

/// The layers of one model over a range of samples. Samples that were not computed keep their place.
pub(crate) fn norm_layers(
    norms: &Norms,
    model: usize,
    blocks: usize,
    samples: &Range<usize>,
) -> Vec<LayerNorms> {
    let of = |at, sample| norms.of(model, at, sample).map(token_norms).unwrap_or_default();
    layers(blocks, samples, of, |layer, site, samples| LayerNorms { layer, site, samples })
}

/// The same of the differences of two models.
pub(crate) fn difference_layers(
    differences: &Differences,
    blocks: usize,
    samples: &Range<usize>,
) -> Vec<LayerDifferences> {
    let of = |at, sample| differences.of(at, sample).map(token_differences).unwrap_or_default();
    layers(blocks, samples, of, |layer, site, samples| LayerDifferences { layer, site, samples })
}

fn layers<Sums, Layer>(
    blocks: usize,
    samples: &Range<usize>,
    of: impl Fn(HookPoint, usize) -> Sums,
    layer: impl Fn(u32, Site, Vec<Sums>) -> Layer,
) -> Vec<Layer> {
    let at_place =
        |(number, site, at)| layer(number, site, samples.clone().map(|sample| of(at, sample)).collect());
    places(blocks).map(at_place).collect()
}

fn token_norms(sums: &NormSums) -> TokenNorms {
    TokenNorms {
        tokens: sums.tokens,
        sum_l2: sums.l2,
        sum_l2_squared: sums.l2_squared,
        sum_l1: sums.l1,
        min_l2: sums.min_l2,
        max_l2: sums.max_l2,
        non_finite_tokens: sums.non_finite_tokens,
    }
}

fn token_differences(sums: &DifferenceSums) -> TokenDifferences {
    TokenDifferences {
        tokens: sums.tokens,
        a_sum_l1: sums.a_l1,
        a_sum_l2: sums.a_l2,
        b_sum_l1: sums.b_l1,
        b_sum_l2: sums.b_l2,
        difference_sum_l1: sums.difference_l1,
        difference_sum_l2: sums.difference_l2,
        cosine_tokens: sums.cosine_tokens,
        cosine_sum: sums.cosine,
        relative_tokens: sums.relative_tokens,
        relative_sum: sums.relative,
        non_finite_tokens: sums.non_finite_tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_transformers_hidden_states_and_the_last_before_its_norm() {
        let places: Vec<_> =
            places(2).map(|(layer, site, at)| format!("{layer} {} {at}", site.name())).collect();
        let expected = [
            "0 embed embed",
            "1 resid_post blocks.0.resid_post",
            "2 final_norm final_norm",
            "2 pre_norm blocks.1.resid_post",
        ];
        assert_eq!(places, expected);
    }
}
