//! From sums over the tokens of samples to the rows of two models compared token by token.

use crate::bootstrap::{Contribution, Estimate};
use crate::{ActivationDifferenceRow, Bootstrap, LayerDifferences, TokenDifferences};

/// One row for each layer of two models, A and B, on one split, in the order given.
#[must_use]
pub fn activation_difference_rows(
    (model_a, model_b): (&str, &str),
    split: &str,
    layers: &[LayerDifferences],
    bootstrap: &Bootstrap,
) -> Vec<ActivationDifferenceRow> {
    let row = |layer: &LayerDifferences| {
        let contributions = layer.samples.iter().map(difference_contribution).collect();
        let [a_l1, a_l2, b_l1, b_l2, difference_l1, difference_l2, cosine, relative]: [Estimate; 8] =
            bootstrap.estimate(&[contributions]);
        ActivationDifferenceRow {
            layer: layer.layer,
            split: split.to_owned(),
            a_l1_mean: a_l1.value,
            a_l2_mean: a_l2.value,
            b_l1_mean: b_l1.value,
            b_l2_mean: b_l2.value,
            difference_l1_mean: difference_l1.value,
            difference_l2_mean: difference_l2.value,
            cosine_mean: cosine.value,
            relative_difference_mean: relative.value,
            tokens: layer.samples.iter().map(|sample| sample.tokens).sum(),
            site: layer.site,
            samples: layer.samples.iter().filter(|sample| sample.tokens > 0).count() as u64,
            a_l1_mean_lower: a_l1.lower,
            a_l1_mean_upper: a_l1.upper,
            a_l2_mean_lower: a_l2.lower,
            a_l2_mean_upper: a_l2.upper,
            b_l1_mean_lower: b_l1.lower,
            b_l1_mean_upper: b_l1.upper,
            b_l2_mean_lower: b_l2.lower,
            b_l2_mean_upper: b_l2.upper,
            difference_l1_mean_lower: difference_l1.lower,
            difference_l1_mean_upper: difference_l1.upper,
            difference_l2_mean_lower: difference_l2.lower,
            difference_l2_mean_upper: difference_l2.upper,
            cosine_mean_lower: cosine.lower,
            cosine_mean_upper: cosine.upper,
            relative_difference_mean_lower: relative.lower,
            relative_difference_mean_upper: relative.upper,
            non_finite_tokens: layer.samples.iter().map(|sample| sample.non_finite_tokens).sum(),
            model_a: model_a.to_owned(),
            model_b: model_b.to_owned(),
        }
    };
    layers.iter().map(row).collect()
}

/// What a sample gives to the eight means of a pair, in the order of the columns.
fn difference_contribution(sample: &TokenDifferences) -> Contribution<8> {
    Contribution::new([
        (sample.a_sum_l1, sample.tokens),
        (sample.a_sum_l2, sample.tokens),
        (sample.b_sum_l1, sample.tokens),
        (sample.b_sum_l2, sample.tokens),
        (sample.difference_sum_l1, sample.tokens),
        (sample.difference_sum_l2, sample.tokens),
        (sample.cosine_sum, sample.cosine_tokens),
        (sample.relative_sum, sample.relative_tokens),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Site;
    use crate::activation_sums::examples::{A, B, assert_near, differences};

    #[test]
    fn differences_of_a_layer_are_those_of_numpy() {
        let samples = A.into_iter().zip(B).map(|(a, b)| differences(a, b)).collect();
        let layer = LayerDifferences { layer: 2, site: Site::ResidPost, samples };
        let row = &activation_difference_rows(("a", "b"), "forget", &[layer], &Bootstrap::new(3, 7))[0];
        assert_eq!((row.layer, row.split.as_str(), row.tokens, row.samples), (2, "forget", 6, 3));
        assert_eq!((row.model_a.as_str(), row.model_b.as_str()), ("a", "b"));
        let of = |value, lower, upper| [value, lower, upper];
        let norms = of(row.a_l1_mean, row.a_l1_mean_lower, row.a_l1_mean_upper);
        assert_near(norms, [10.5, 2.0, 18.0]);
        let norms = of(row.a_l2_mean, row.a_l2_mean_lower, row.a_l2_mean_upper);
        assert_near(norms, [7.735_702_260_395_516, 2f64.sqrt(), 40.0 / 3.0]);
        let norms = of(row.b_l1_mean, row.b_l1_mean_lower, row.b_l1_mean_upper);
        assert_near(norms, [10.5, 0.0, 18.0]);
        let norms = of(row.b_l2_mean, row.b_l2_mean_lower, row.b_l2_mean_upper);
        assert_near(norms, [7.805_158_649_140_883, 0.0, 40.0 / 3.0]);
        let norms = of(row.difference_l1_mean, row.difference_l1_mean_lower, row.difference_l1_mean_upper);
        assert_near(norms, [29.0 / 3.0, 1.0, 18.0]);
        let norms = of(row.difference_l2_mean, row.difference_l2_mean_lower, row.difference_l2_mean_upper);
        assert_near(norms, [9.569_035_593_728_849, 1.0, 18.0]);
        // Defined at four and at five of the six tokens.
        let cosine = of(row.cosine_mean, row.cosine_mean_lower, row.cosine_mean_upper);
        assert_near(cosine, [0.183_364_089_096_673_82, -0.087_078_479_146_618_63, 0.994_691_793_826_551_3]);
        let relative = of(
            row.relative_difference_mean,
            row.relative_difference_mean_lower,
            row.relative_difference_mean_upper,
        );
        assert_near(relative, [0.962_171_945_701_357_4, 0.2, 1.203_619_909_502_262_6]);
    }

    #[test]
    fn non_finite_tokens_are_counted_and_nothing_else() {
        let lost = TokenDifferences { non_finite_tokens: 4, ..TokenDifferences::default() };
        let layer = LayerDifferences { layer: 0, site: Site::Embed, samples: vec![lost; 2] };
        let row = &activation_difference_rows(("a", "b"), "s", &[layer], &Bootstrap::new(2, 0))[0];
        assert_eq!((row.cosine_mean, row.tokens, row.samples, row.non_finite_tokens), (None, 0, 0, 8));
    }
}
