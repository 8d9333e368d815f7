//! Layer by layer: all samples go through a block before the next block's weights are touched.

use std::collections::HashSet;

use candle_core::{DType, Device, Tensor};

use crate::Error;
use crate::batches::{Window, windows};
use crate::block::{Block, Emit};
use crate::device::out_of_memory;
use crate::hook::{Batch, BatchSample, Hook, HookError, HookPoint};
use crate::kernels;
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
    /// Bytes that hidden states, weights and intermediate results may take together, where they are computed.
    pub memory_budget: u64,
    /// Most samples that are computed together.
    pub batch_size: usize,
    /// Tokens from which on no further sample joins a batch; `None` for 1024 in F32 on the CPU, and else for as many as
    /// the budget allows.
    pub batch_tokens: Option<usize>,
}

impl Default for StreamOptions {
    /// The CPU in F32, 4 GiB, batches of about 1024 tokens.
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
            memory_budget: 4 << 30,
            batch_size: usize::MAX,
            batch_tokens: None,
        }
    }
}

/// Models and the samples that go through them in lockstep.
#[derive(Debug)]
pub struct Stream<'a> {
    models: &'a [Model<'a>],
    samples: &'a [Vec<u32>],
    options: StreamOptions,
    windows: Vec<Window>,
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
        let occurring = samples.iter().flatten().collect::<HashSet<_>>().len();
        let windows = windows(models, samples, occurring, &options)?;
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
            let mut loaded = self.load(0, leaders)?;
            for index in 0..first.blocks() {
                loaded = self.step(index, loaded, &mut batches, hooks)?;
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

    /// Sends all batches through a block, and gets the next one ready.
    fn step(
        &self,
        index: usize,
        Loaded { leaders, blocks }: Loaded,
        batches: &mut [Running<'_>],
        hooks: &mut [&mut dyn Hook],
    ) -> Result<Loaded, Error> {
        let mut compute = || batches.iter_mut().try_for_each(|batch| batch.advance(&blocks, hooks));
        if kernels::are_fused(&self.options.device, self.options.dtype) {
            // All threads compute, so only the system is busy with what comes.
            std::thread::scope(|scope| {
                scope.spawn(|| self.read_ahead(index + 1));
                compute()
            })?;
            drop(blocks);
            return self.load(index + 1, leaders);
        }
        // On CUDA a thread has a stream of its own: copies of the next block go beside the kernels of this one.
        let mut next = Ok(Loaded { leaders: Vec::new(), blocks: Vec::new() });
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| next = self.load(index + 1, leaders));
            compute()
        })?;
        next
    }

    /// A block of every model that has its own, and of the models that follow them until here.
    fn load(&self, index: usize, mut leaders: Vec<usize>) -> Result<Loaded, Error> {
        if self.models.first().is_none_or(|first| index >= first.blocks()) {
            return Ok(Loaded { leaders, blocks: Vec::new() });
        }
        for (model, leader) in leaders.iter_mut().enumerate() {
            if *leader != model && !self.same_block(index, *leader, model)? {
                *leader = model;
            }
        }
        let (dtype, device) = (self.options.dtype, &self.options.device);
        let blocks = (0..self.models.len()).filter(|model| leaders[*model] == *model).map(|model| {
            let block = self.models[model].load_block(index, dtype, device)?;
            let models = (0..leaders.len()).filter(|other| leaders[*other] == model).collect();
            Ok(Shared { block, models })
        });
        let blocks = blocks.collect::<Result<_, Error>>()?;
        // Another thread, and so another stream, may use it next.
        device.synchronize().map_err(|source| Error::compute(format!("block {index}"), source))?;
        Ok(Loaded { leaders, blocks })
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

/// What a step through all batches needs.
struct Loaded {
    /// For each model the first one that has had the same states and blocks.
    leaders: Vec<usize>,
    blocks: Vec<Shared>,
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
            let failed = |source| failed_hook(at, source);
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
                hidden = replacement.contiguous().map_err(|source| Error::compute(at.to_string(), source))?;
            }
        }
    }
    Ok(hidden)
}

/// What a hook failed with; where it lacked the device's memory, that.
fn failed_hook(at: HookPoint, source: HookError) -> Error {
    match source.downcast::<candle_core::Error>() {
        Ok(source) if out_of_memory(&source) => Error::compute(at.to_string(), *source),
        Ok(source) => Error::Hook { at, source },
        Err(source) => Error::Hook { at, source },
    }
}

/// For each model the first one that has the same states in every batch, bit for bit.
fn same_states(batches: &[Running<'_>], mut leaders: Vec<usize>) -> candle_core::Result<Vec<usize>> {
    for model in 1..leaders.len() {
        for leader in 0..model {
            let mut same = leaders[leader] == leader;
            for batch in batches {
                same = same && same_bits(&batch.states[leader], &batch.states[model])?;
            }
            if same {
                leaders[model] = leader;
                break;
            }
        }
    }
    Ok(leaders)
}

/// True if two tensors have the same bits; elsewhere than on the CPU they are compared there, and NaN is like nothing.
fn same_bits(a: &Tensor, b: &Tensor) -> candle_core::Result<bool> {
    if a.shape() != b.shape() {
        return Ok(false);
    }
    if kernels::on_host(a) {
        let bits = |x: &Tensor| -> candle_core::Result<Vec<u32>> {
            let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(f32::to_bits).collect())
        };
        return Ok(bits(a)? == bits(b)?);
    }
    let all_equal = |a: &Tensor, b: &Tensor| -> candle_core::Result<bool> {
        // Row by row, which a GPU does in parallel.
        let differing = a.ne(b)?.to_dtype(DType::F32)?.sum(1)?.sum(0)?;
        Ok(differing.to_scalar::<f32>()? == 0.0)
    };
    // Of zeros with different signs only the reciprocals differ.
    Ok(all_equal(a, b)? && all_equal(&a.recip()?, &b.recip()?)?)
}
