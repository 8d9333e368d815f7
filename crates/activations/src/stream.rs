//! Layer by layer: all samples go through a block before the next block's weights are touched.

use std::collections::HashSet;

use candle_core::{DType, Device, Tensor};

use crate::Error;
use crate::block::{Block, Emit};
use crate::hook::{Batch, BatchSample, Hook, HookPoint};
use crate::model::{Embeddings, Model, Outer};
use crate::pack::Pack;
use crate::same_bytes::same_bytes;

/// How a [`Stream`] computes.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Where.
    pub device: Device,
    /// In which type: F32, F16 or BF16. Norms and softmax are F32 in any case.
    pub dtype: DType,
    /// Bytes that hidden states, weights and intermediate results may take together.
    pub memory_budget: u64,
    /// Most samples that are computed together.
    pub batch_size: usize,
    /// Tokens from which on no further sample joins a batch.
    pub batch_tokens: usize,
}

impl Default for StreamOptions {
    /// The CPU in F32, 4 GiB, batches of about 1024 tokens.
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
            memory_budget: 4 << 30,
            batch_size: usize::MAX,
            batch_tokens: 1024,
        }
    }
}

/// Models and the samples that go through them in lockstep.
#[derive(Debug)]
pub struct Stream<'a> {
    models: &'a [Model<'a>],
    samples: &'a [Vec<u32>],
    options: StreamOptions,
    windows: Vec<Vec<Vec<BatchSample>>>,
}

impl<'a> Stream<'a> {
    /// Samples are token ids; empty ones take no part. Several models must have equally many blocks.
    ///
    /// # Errors
    /// Token ids beyond a vocabulary, samples that are too long for learned positions, models of different depths, and a
    /// memory budget that does not hold a single batch and one block of each model.
    pub fn new(
        models: &'a [Model<'a>],
        samples: &'a [Vec<u32>],
        options: StreamOptions,
    ) -> Result<Self, Error> {
        for model in models {
            let path = model.checkpoint.path();
            if model.blocks() != models[0].blocks() {
                let first = (models[0].checkpoint.path().into(), models[0].blocks());
                return Err(Error::Depths { first, second: (path.into(), model.blocks()) });
            }
            let largest = samples.iter().flatten().max();
            if let Some(id) = largest.filter(|id| **id as usize >= model.vocabulary()) {
                return Err(Error::TokenId { path: path.into(), id: *id, vocabulary: model.vocabulary() });
            }
            let longest = samples.iter().map(Vec::len).max().unwrap_or(0);
            if let Some(positions) = model.longest().filter(|positions| *positions < longest) {
                return Err(Error::TooLong { path: path.into(), length: longest, positions });
            }
        }
        let batches = batches(samples, &options);
        let occurring = samples.iter().flatten().collect::<HashSet<_>>().len();
        let windows = windows(models, batches, occurring, &options)?;
        Ok(Self { models, samples, options, windows })
    }

    /// How often [`Hook::observe`] sees each point for each model: the number of batches.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.windows.iter().map(Vec::len).sum()
    }

    /// How often the weights are read: samples go through the models in so many groups, as the memory budget asks.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows.len()
    }

    /// Runs all samples through all models. Hooks see the points of a batch in order, first for model 0.
    ///
    /// # Errors
    /// Weights that cannot be read, what candle finds wrong, and what hooks return.
    pub fn run(&self, hooks: &mut [&mut dyn Hook]) -> Result<(), Error> {
        let Some(first) = self.models.first() else { return Ok(()) };
        let (dtype, device) = (self.options.dtype, &self.options.device);
        let outer: Vec<Outer> =
            self.models.iter().map(|model| model.load_outer(dtype, device)).collect::<Result<_, _>>()?;
        let may_share = !self.replaced(hooks);
        for window in &self.windows {
            let embeddings = self.load_embeddings(window)?;
            let mut batches: Vec<Running<'_>> = window
                .iter()
                .map(|samples| self.embed(samples, &embeddings, &outer, hooks))
                .collect::<Result<_, _>>()?;
            drop(embeddings);
            let mut leaders: Vec<usize> = (0..self.models.len()).collect();
            if may_share {
                leaders = same_states(&batches, leaders)
                    .map_err(|source| Error::compute("the embedding", source))?;
            }
            for index in 0..first.blocks() {
                for (model, leader) in leaders.iter_mut().enumerate() {
                    if *leader != model && !self.same_block(index, *leader, model)? {
                        *leader = model;
                    }
                }
                let blocks: Vec<Shared> = (0..self.models.len())
                    .filter(|model| leaders[*model] == *model)
                    .map(|model| {
                        let block = self.models[model].load_block(index, dtype, device)?;
                        let models = (0..leaders.len()).filter(|other| leaders[*other] == model).collect();
                        Ok(Shared { block, models })
                    })
                    .collect::<Result<_, Error>>()?;
                std::thread::scope(|scope| {
                    scope.spawn(|| self.read_ahead(index + 1));
                    batches.iter_mut().try_for_each(|batch| batch.advance(&blocks, hooks))
                })?;
            }
            for batch in &batches {
                for (model, outer) in outer.iter().enumerate() {
                    let last = self.models[model].finish(&batch.states[model], outer)?;
                    emit(HookPoint::FinalNorm, last, &[model], batch.samples, hooks)?;
                }
            }
        }
        Ok(())
    }

    /// What the batches of a window need of each model's embedding.
    fn load_embeddings(&self, window: &[Vec<BatchSample>]) -> Result<Vec<Embeddings>, Error> {
        let (dtype, device) = (self.options.dtype, &self.options.device);
        let longest = window.iter().flatten().map(|sample| sample.length).max().unwrap_or(0);
        let load = |model: &Model<'_>| {
            let tokens = window.iter().flat_map(|batch| self.tokens(batch));
            model.load_embeddings(tokens, longest, dtype, device)
        };
        self.models.iter().map(load).collect()
    }

    fn tokens(&self, batch: &[BatchSample]) -> impl Iterator<Item = u32> {
        batch.iter().flat_map(|sample| &self.samples[sample.index]).copied()
    }

    fn embed<'s>(
        &self,
        samples: &'s [BatchSample],
        embeddings: &[Embeddings],
        outer: &[Outer],
        hooks: &mut [&mut dyn Hook],
    ) -> Result<Running<'s>, Error> {
        let device = &self.options.device;
        let tokens: Vec<u32> = self.tokens(samples).collect();
        let lengths: Vec<usize> = samples.iter().map(|sample| sample.length).collect();
        let mut running = Running { samples, packs: Vec::new(), states: Vec::new() };
        for (index, model) in self.models.iter().enumerate() {
            let pack = Pack::new(lengths.clone(), &model.architecture, device)
                .map_err(|source| Error::compute("the positions", source))?;
            let x = model.embed(&tokens, &pack, &embeddings[index], &outer[index])?;
            running.states.push(emit(HookPoint::Embed, x, &[index], samples, hooks)?);
            running.packs.push(pack);
        }
        Ok(running)
    }

    /// True if a hook may put other states in place anywhere.
    fn replaced(&self, hooks: &[&mut dyn Hook]) -> bool {
        let blocks = self.models.first().map_or(0, Model::blocks);
        let inner = (0..blocks).flat_map(|index| {
            [
                HookPoint::ResidPre(index),
                HookPoint::AttnOut(index),
                HookPoint::ResidMid(index),
                HookPoint::MlpOut(index),
                HookPoint::ResidPost(index),
            ]
        });
        let mut points = [HookPoint::Embed, HookPoint::FinalNorm].into_iter().chain(inner);
        points.any(|at| hooks.iter().any(|hook| hook.replaces(at)))
    }

    /// True if a block is the same in two models, byte for byte: then equal inputs have equal outputs.
    fn same_block(&self, index: usize, a: usize, b: usize) -> Result<bool, Error> {
        let (a, b) = (&self.models[a], &self.models[b]);
        if a.architecture != b.architecture {
            return Ok(false);
        }
        let names = a.block_tensors(index)?;
        for ((name_a, _), (name_b, _)) in names.iter().zip(b.block_tensors(index)?) {
            let (Some(tensor_a), Some(tensor_b)) = (a.checkpoint.get(name_a), b.checkpoint.get(&name_b))
            else {
                return Ok(false);
            };
            let same = same_bytes((a.checkpoint, tensor_a), (b.checkpoint, tensor_b))?;
            b.checkpoint.give_back(tensor_b);
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks the system to read a block while the one before it is computed.
    fn read_ahead(&self, index: usize) {
        for model in self.models.iter().filter(|model| index < model.blocks()) {
            for (name, _) in model.block_tensors(index).unwrap_or_default() {
                if let Some(tensor) = model.checkpoint.get(&name) {
                    model.checkpoint.will_need(tensor);
                }
            }
        }
    }
}

/// A block and the models, the first of which it is of, that have it and the same states before it.
struct Shared {
    block: Block,
    models: Vec<usize>,
}

/// A batch on its way.
struct Running<'s> {
    samples: &'s [BatchSample],
    /// One for each model: their positions may turn differently.
    packs: Vec<Pack>,
    /// One for each model; the same tensor where models have not parted.
    states: Vec<Tensor>,
}

impl Running<'_> {
    fn advance(&mut self, blocks: &[Shared], hooks: &mut [&mut dyn Hook]) -> Result<(), Error> {
        for Shared { block, models } in blocks {
            let samples = self.samples;
            let x = self.states[models[0]].clone();
            let emit: &mut Emit<'_> = &mut |at, hidden| emit(at, hidden, models, samples, hooks);
            let x = block.apply(x, &self.packs[models[0]], emit)?;
            for model in models {
                self.states[*model] = x.clone();
            }
        }
        Ok(())
    }
}

/// Shows a point to the hooks, for one model or for several that have not parted.
fn emit(
    at: HookPoint,
    mut hidden: Tensor,
    models: &[usize],
    samples: &[BatchSample],
    hooks: &mut [&mut dyn Hook],
) -> Result<Tensor, Error> {
    for model in models {
        let batch = Batch { model: *model, samples };
        for hook in hooks.iter_mut() {
            let failed = |source| Error::Hook { at, source };
            if hook.wants(at) {
                hook.observe(at, &hidden, &batch).map_err(failed)?;
            }
            if !hook.replaces(at) {
                continue;
            }
            if let Some(replacement) = hook.replace(at, &hidden, &batch).map_err(failed)? {
                if replacement.shape() != hidden.shape() || replacement.dtype() != hidden.dtype() {
                    return Err(failed("the replacement has another shape or dtype".into()));
                }
                hidden = replacement;
            }
        }
    }
    Ok(hidden)
}

/// For each model the first one that has the same states in every batch, bit for bit.
fn same_states(batches: &[Running<'_>], mut leaders: Vec<usize>) -> candle_core::Result<Vec<usize>> {
    let bits = |x: &Tensor| -> candle_core::Result<Vec<u32>> {
        let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    for model in 1..leaders.len() {
        for leader in 0..model {
            let mut same = leaders[leader] == leader;
            for batch in batches {
                let (a, b) = (&batch.states[leader], &batch.states[model]);
                same = same && a.shape() == b.shape() && bits(a)? == bits(b)?;
            }
            if same {
                leaders[model] = leader;
                break;
            }
        }
    }
    Ok(leaders)
}

/// Samples in their order, so many together as the options allow.
fn batches(samples: &[Vec<u32>], options: &StreamOptions) -> Vec<Vec<BatchSample>> {
    let mut batches: Vec<Vec<BatchSample>> = Vec::new();
    for (index, sample) in samples.iter().enumerate().filter(|(_, sample)| !sample.is_empty()) {
        let length = sample.len();
        match batches.last_mut() {
            Some(batch)
                if batch.len() < options.batch_size && tokens_of(batch) + length <= options.batch_tokens =>
            {
                batch.push(BatchSample { index, start: tokens_of(batch), length });
            }
            _ => batches.push(vec![BatchSample { index, start: 0, length }]),
        }
    }
    batches
}

fn tokens_of(batch: &[BatchSample]) -> usize {
    batch.last().map_or(0, |sample| sample.start + sample.length)
}

/// Batches in groups whose hidden states fit beside one block of each model and a batch's intermediate results; before
/// the first block, beside the embeddings of the `occurring` tokens.
fn windows(
    models: &[Model<'_>],
    batches: Vec<Vec<BatchSample>>,
    occurring: usize,
    options: &StreamOptions,
) -> Result<Vec<Vec<Vec<BatchSample>>>, Error> {
    let size = options.dtype.size_in_bytes() as u64;
    let longest = batches.iter().map(|batch| tokens_of(batch) as u64).max().unwrap_or(0);
    let mut fixed = 0;
    let mut a_token = 0;
    for model in models {
        let architecture = &model.architecture;
        let mut largest = (occurring * architecture.embedding_width) as u64 * size;
        for index in 0..model.blocks() {
            // A block is copied once more while its projections are joined.
            let elements: usize = model.block_tensors(index)?.iter().map(|(_, elements)| elements).sum();
            largest = largest.max(elements as u64 * size * 3 / 2);
        }
        fixed += largest;
        a_token += architecture.hidden as u64 * size;
    }
    // Of one model at a time: normed input, joint projections, both halves of the MLP and their product, sums.
    let scratch = models.iter().map(|model| {
        let architecture = &model.architecture;
        let widths = 6 * architecture.hidden + 3 * architecture.projected() + 4 * architecture.intermediate;
        widths as u64 * size * longest
    });
    fixed += scratch.max().unwrap_or(0);
    let needed = fixed + a_token * longest;
    if needed > options.memory_budget {
        return Err(Error::Budget { needed, budget: options.memory_budget });
    }
    let most = (options.memory_budget - fixed) / a_token.max(1);
    let mut windows: Vec<Vec<Vec<BatchSample>>> = Vec::new();
    let mut filled = 0;
    for batch in batches {
        let tokens = tokens_of(&batch) as u64;
        match windows.last_mut() {
            Some(window) if filled + tokens <= most => window.push(batch),
            _ => {
                windows.push(vec![batch]);
                filled = 0;
            }
        }
        filled += tokens;
    }
    Ok(windows)
}
