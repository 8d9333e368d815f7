//! From sums over the tokens of samples to the rows of one model: layers, all layers together, and samples.

use crate::bootstrap::Contribution;
use crate::{
    ActivationNormRow, ActivationSummaryRow, Bootstrap, LayerNorms, SampleNormRow, Site, TokenNorms,
};

/// One row for each layer of one model on one split, in the order given. Intervals are comparable across layers and
/// models if all rows of the split come from one bootstrap.
#[must_use]
pub fn activation_norm_rows(
    model: &str,
    split: &str,
    layers: &[LayerNorms],
    bootstrap: &Bootstrap,
) -> Vec<ActivationNormRow> {
    let row = |layer: &LayerNorms| {
        let [l2, l1] = bootstrap.estimate(&[norm_contributions(layer)]);
        let all = total(&layer.samples);
        let defined = |value: f64| (all.tokens > 0).then_some(value);
        ActivationNormRow {
            model: model.to_owned(),
            split: split.to_owned(),
            layer: layer.layer,
            norm_mean: l2.value,
            site: layer.site,
            norm_l1_mean: l1.value,
            norm_std: defined(standard_deviation(&all)),
            norm_min: defined(all.min_l2),
            norm_max: defined(all.max_l2),
            tokens: all.tokens,
            samples: samples_with_tokens(&layer.samples),
            norm_mean_lower: l2.lower,
            norm_mean_upper: l2.upper,
            norm_l1_mean_lower: l1.lower,
            norm_l1_mean_upper: l1.upper,
            non_finite_tokens: all.non_finite_tokens,
        }
    };
    layers.iter().map(row).collect()
}

/// The row of all layers of one model on one split but [`Site::PreNorm`]. Each resample gives one mean over layers, so
/// that the interval knows how layers vary together.
#[must_use]
pub fn activation_summary_row(
    model: &str,
    split: &str,
    layers: &[LayerNorms],
    bootstrap: &Bootstrap,
) -> ActivationSummaryRow {
    let layers: Vec<&LayerNorms> = layers.iter().filter(|layer| layer.site != Site::PreNorm).collect();
    let contributions: Vec<_> = layers.iter().map(|layer| norm_contributions(layer)).collect();
    let [l2, l1] = bootstrap.estimate(&contributions);
    let totals: Vec<TokenNorms> = layers.iter().map(|layer| total(&layer.samples)).collect();
    ActivationSummaryRow {
        model: model.to_owned(),
        split: split.to_owned(),
        norm_mean: l2.value,
        norm_mean_lower: l2.lower,
        norm_mean_upper: l2.upper,
        norm_l1_mean: l1.value,
        norm_l1_mean_lower: l1.lower,
        norm_l1_mean_upper: l1.upper,
        layers: layers.len() as u64,
        tokens: totals.iter().map(|all| all.tokens).min().unwrap_or(0),
        samples: layers.iter().map(|layer| samples_with_tokens(&layer.samples)).min().unwrap_or(0),
        non_finite_tokens: totals.iter().map(|all| all.non_finite_tokens).max().unwrap_or(0),
    }
}

/// One row for each sample and layer of one model on one split: all layers of the first sample, then of the next.
#[must_use]
pub fn sample_norm_rows(model: &str, split: &str, layers: &[LayerNorms]) -> Vec<SampleNormRow> {
    let row = |sample: usize, layer: &LayerNorms, norms: &TokenNorms| {
        let mean = |sum: f64| (norms.tokens > 0).then(|| sum / norms.tokens as f64);
        SampleNormRow {
            model: model.to_owned(),
            split: split.to_owned(),
            sample: sample as u64,
            layer: layer.layer,
            site: layer.site,
            norm_mean: mean(norms.sum_l2),
            norm_l1_mean: mean(norms.sum_l1),
            tokens: norms.tokens,
            non_finite_tokens: norms.non_finite_tokens,
        }
    };
    let samples = layers.iter().map(|layer| layer.samples.len()).max().unwrap_or(0);
    (0..samples)
        .flat_map(|sample| layers.iter().map(move |layer| (sample, layer)))
        .filter_map(|(sample, layer)| Some(row(sample, layer, layer.samples.get(sample)?)))
        .collect()
}

/// What each sample gives to the means of ‖h‖₂ and ‖h‖₁.
fn norm_contributions(layer: &LayerNorms) -> Vec<Contribution<2>> {
    let contribution =
        |norms: &TokenNorms| Contribution::new([norms.sum_l2, norms.sum_l1].map(|sum| (sum, norms.tokens)));
    layer.samples.iter().map(contribution).collect()
}

/// All samples as if they were one.
fn total(samples: &[TokenNorms]) -> TokenNorms {
    let none = TokenNorms { min_l2: f64::INFINITY, max_l2: f64::NEG_INFINITY, ..TokenNorms::default() };
    samples.iter().fold(none, |all, sample| {
        let non_finite_tokens = all.non_finite_tokens + sample.non_finite_tokens;
        if sample.tokens == 0 {
            return TokenNorms { non_finite_tokens, ..all };
        }
        TokenNorms {
            tokens: all.tokens + sample.tokens,
            sum_l2: all.sum_l2 + sample.sum_l2,
            sum_l2_squared: all.sum_l2_squared + sample.sum_l2_squared,
            sum_l1: all.sum_l1 + sample.sum_l1,
            min_l2: all.min_l2.min(sample.min_l2),
            max_l2: all.max_l2.max(sample.max_l2),
            non_finite_tokens,
        }
    })
}

/// √(mean of squares − square of mean) of ‖h‖₂ over tokens.
fn standard_deviation(all: &TokenNorms) -> f64 {
    let tokens = all.tokens as f64;
    let mean = all.sum_l2 / tokens;
    // Rounding can leave a variance of zero slightly negative.
    (all.sum_l2_squared / tokens - mean * mean).max(0.0).sqrt()
}

fn samples_with_tokens(samples: &[TokenNorms]) -> u64 {
    samples.iter().filter(|sample| sample.tokens > 0).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation_sums::examples::{A, B, Hidden, assert_near, norms};

    fn layer(layer: u32, site: Site, hidden: [Hidden; 3]) -> LayerNorms {
        LayerNorms { layer, site, samples: hidden.map(norms).to_vec() }
    }

    #[test]
    fn norms_of_a_layer_are_those_of_numpy() {
        let rows =
            activation_norm_rows("m", "forget", &[layer(4, Site::ResidPost, A)], &Bootstrap::new(3, 7));
        let [row] = rows.as_slice() else { panic!("one layer, one row") };
        assert_eq!((row.model.as_str(), row.split.as_str(), row.layer), ("m", "forget", 4));
        assert_eq!((row.site, row.tokens, row.samples), (Site::ResidPost, 6, 3));
        let l2 = [row.norm_mean, row.norm_mean_lower, row.norm_mean_upper];
        assert_near(l2, [7.735_702_260_395_516, 2f64.sqrt(), 40.0 / 3.0]);
        assert_near([row.norm_l1_mean, row.norm_l1_mean_lower, row.norm_l1_mean_upper], [10.5, 2.0, 18.0]);
        assert_near([row.norm_std, row.norm_min, row.norm_max], [6.136_685_631_390_262, 0.0, 17.0]);
    }

    #[test]
    fn the_summary_averages_layers_within_each_resample_and_leaves_pre_norm_out() {
        let layers = [layer(0, Site::Embed, A), layer(1, Site::PreNorm, A), layer(1, Site::FinalNorm, B)];
        let row = activation_summary_row("m", "retain", &layers, &Bootstrap::new(3, 7));
        let l2 = [row.norm_mean, row.norm_mean_lower, row.norm_mean_upper];
        assert_near(l2, [7.770_430_454_768_199, 0.5f64.sqrt(), 40.0 / 3.0]);
        assert_near([row.norm_l1_mean, row.norm_l1_mean_lower, row.norm_l1_mean_upper], [10.5, 1.0, 18.0]);
        assert_eq!((row.layers, row.tokens, row.samples, row.non_finite_tokens), (2, 6, 3, 0));
    }

    #[test]
    fn samples_come_one_after_the_other() {
        let rows = sample_norm_rows("m", "s", &[layer(0, Site::Embed, A), layer(1, Site::FinalNorm, B)]);
        let order: Vec<_> = rows.iter().map(|row| (row.sample, row.layer, row.tokens)).collect();
        assert_eq!(order, [(0, 0, 2), (0, 1, 2), (1, 0, 1), (1, 1, 1), (2, 0, 3), (2, 1, 3)]);
        assert_eq!((rows[0].norm_mean, rows[0].norm_l1_mean), (Some(2.5), Some(3.5)));
        assert_eq!((rows[3].norm_mean, rows[3].site), (Some(0.0), Site::FinalNorm));
    }

    #[test]
    fn non_finite_tokens_are_counted_and_nothing_else() {
        let lost = TokenNorms { non_finite_tokens: 4, ..TokenNorms::default() };
        let some = TokenNorms { non_finite_tokens: 1, ..norms(A[0]) };
        let layers = [
            LayerNorms { layer: 0, site: Site::Embed, samples: vec![some, lost] },
            LayerNorms { layer: 1, site: Site::FinalNorm, samples: vec![lost, lost] },
        ];
        let bootstrap = Bootstrap::new(2, 0);
        let rows = activation_norm_rows("m", "s", &layers, &bootstrap);
        let counts = |row: &ActivationNormRow| (row.tokens, row.samples, row.non_finite_tokens);
        assert_eq!((counts(&rows[0]), counts(&rows[1])), ((2, 1, 5), (0, 0, 8)));
        assert_eq!(
            (rows[0].norm_mean, rows[0].norm_min, rows[0].norm_max),
            (Some(2.5), Some(0.0), Some(5.0))
        );
        assert_eq!(rows[0].norm_mean_lower, None, "one sample has no interval");
        assert_eq!((rows[1].norm_mean, rows[1].norm_std, rows[1].norm_min), (None, None, None));

        let summary = activation_summary_row("m", "s", &layers, &bootstrap);
        assert_eq!((summary.norm_mean, summary.tokens, summary.non_finite_tokens), (None, 0, 8));
        let lost = sample_norm_rows("m", "s", &layers).pop().unwrap();
        assert_eq!((lost.norm_mean, lost.norm_l1_mean, lost.non_finite_tokens), (None, None, 4));
    }

    #[test]
    fn equal_norms_have_no_deviation_despite_rounding() {
        let equal = TokenNorms { tokens: 3, sum_l2: 0.3, sum_l2_squared: 0.03 - 1e-17, ..norms(A[0]) };
        assert_eq!(standard_deviation(&equal), 0.0);
    }
}
