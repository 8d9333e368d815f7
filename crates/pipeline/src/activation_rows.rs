//! One forward pass: models that go together, their tokens, and the rows that come of it.

use std::sync::atomic::AtomicBool;

use activations::{Differences, Hook, Model, Norms, Stream, StreamOptions, is_hidden_state};
use report::{
    ActivationDifferenceRow, ActivationNormRow, ActivationSummaryRow, SampleNormRow,
    activation_difference_rows, activation_norm_rows, activation_summary_row, sample_norm_rows,
};

use crate::activation_layers::{difference_layers, norm_layers};
use crate::activation_texts::{TextCounts, Texts, Tokens};
use crate::forward_steps::{ForwardSteps, failure};
use crate::{Error, Observer};

/// One model, or a baseline and the models compared with it.
pub(crate) struct Group<'a> {
    models: &'a [Model<'a>],
    tokens: &'a [Tokens],
    pub(crate) stream: Stream<'a>,
}

/// The rows of all tables.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) norms: Vec<ActivationNormRow>,
    pub(crate) differences: Vec<ActivationDifferenceRow>,
    pub(crate) summary: Vec<ActivationSummaryRow>,
    /// One for each row of the summary.
    pub(crate) texts: Vec<TextCounts>,
    /// Only if asked for: there may be very many.
    pub(crate) per_sample: Option<Vec<SampleNormRow>>,
}

impl<'a> Group<'a> {
    /// Tokens are those of each model, and the same for all.
    pub(crate) fn new(
        models: &'a [Model<'a>],
        tokens: &'a [Tokens],
        options: &StreamOptions,
    ) -> Result<Self, Error> {
        if let ([a, others @ ..], [tokens_a, others_tokens @ ..]) = (models, tokens) {
            for (b, tokens_b) in others.iter().zip(others_tokens) {
                if a.hidden_size() != b.hidden_size() {
                    let (a, b) = (
                        (tokens_a.model.clone(), a.hidden_size()),
                        (tokens_b.model.clone(), b.hidden_size()),
                    );
                    return Err(Error::Widths { a, b });
                }
                let differing = tokens_a.ids.iter().zip(&tokens_b.ids).filter(|(a, b)| a != b).count();
                if differing > 0 {
                    let (a, b) = (tokens_a.model.clone(), tokens_b.model.clone());
                    return Err(Error::TokensDiffer { a, b, differing, samples: tokens_a.ids.len() });
                }
            }
        }
        let ids = tokens.first().map_or(&[][..], |tokens| &tokens.ids);
        Ok(Self { models, tokens, stream: Stream::new(models, ids, options.clone())? })
    }

    /// Samples times blocks times models.
    pub(crate) fn steps(&self) -> usize {
        let samples = |tokens: &Tokens| tokens.counts.iter().map(|counts| counts.samples).sum::<usize>();
        self.models.iter().zip(self.tokens).map(|(model, tokens)| model.blocks() * samples(tokens)).sum()
    }

    pub(crate) fn measure(
        &self,
        texts: &Texts,
        observer: &dyn Observer,
        interrupted: &AtomicBool,
        rows: &mut Rows,
    ) -> Result<(), Error> {
        let mut norms = Norms::new(is_hidden_state);
        let mut differences: Vec<Differences> =
            (1..self.models.len()).map(|b| Differences::between(0, b, is_hidden_state)).collect();
        let mut steps = ForwardSteps { observer, interrupted };
        let mut hooks: Vec<&mut dyn Hook> = vec![&mut steps, &mut norms];
        hooks.extend(differences.iter_mut().map(|hook| hook as &mut dyn Hook));
        self.stream.run(&mut hooks).map_err(failure)?;
        let blocks = self.models.first().map_or(0, Model::blocks);
        for (index, tokens) in self.tokens.iter().enumerate() {
            // A model of several groups has the same numbers in all.
            if rows.texts.iter().any(|counts| counts.model == tokens.model) {
                continue;
            }
            for (split, counts) in texts.splits.iter().zip(&tokens.counts) {
                let layers = norm_layers(&norms, index, blocks, &split.samples);
                let (model, name) = (&counts.model, &counts.split);
                rows.norms.extend(activation_norm_rows(model, name, &layers, &split.bootstrap));
                rows.summary.push(activation_summary_row(model, name, &layers, &split.bootstrap));
                rows.texts.push(counts.clone());
                if let Some(per_sample) = &mut rows.per_sample {
                    per_sample.extend(sample_norm_rows(model, name, &layers));
                }
            }
        }
        let models: Vec<&str> = self.tokens.iter().map(|tokens| tokens.model.as_str()).collect();
        for (b, differences) in models.iter().skip(1).zip(&differences) {
            for split in &texts.splits {
                let layers = difference_layers(differences, blocks, &split.samples);
                rows.differences.extend(activation_difference_rows(
                    (models[0], b),
                    &split.name,
                    &layers,
                    &split.bootstrap,
                ));
            }
        }
        Ok(())
    }
}
