//! A checkpoint as a model: its architecture, checked against its tensors, and its parts loaded one at a time.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use intake::shown;
use weights_io::{CandleBackend, Checkpoint, var_builder};

use crate::Error;
use crate::architecture::Architecture;
use crate::block::Block;
use crate::config::Config;
use crate::device::out_of_memory;
use crate::embedding::Rows;
use crate::kernels::product;
use crate::norm::Norm;
use crate::pack::Pack;
use crate::weights::{NormWeights, OuterWeights, Request, Source};

/// A decoder whose every tensor is known to be there, in the right shape; nothing is loaded yet.
#[derive(Debug)]
pub struct Model<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) architecture: Architecture,
    family: String,
    prefix: String,
    vocabulary: usize,
    positions: Option<usize>,
}

impl<'a> Model<'a> {
    /// Reads `config.json` beside the weights and checks it against the tensors.
    ///
    /// # Errors
    /// A configuration that is missing, malformed, of an unknown family or at odds with itself; tensors that are
    /// missing or of another shape than it says.
    pub fn open(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        let config = Config::of(checkpoint)?;
        let widest = checkpoint.tensors().iter().flat_map(|tensor| &tensor.shape).max();
        let widest = widest.copied().unwrap_or(0);
        let architecture = Architecture::new(&config, checkpoint.tensors().len(), widest)?;
        let names = &architecture.family.names;
        let found = |prefix: &&String| {
            let name = format!("{prefix}{}.weight", names.embedding);
            checkpoint.get(&name).is_some()
        };
        let prefix =
            names.prefixes.iter().find(found).or(names.prefixes.first()).cloned().unwrap_or_default();
        let rows = |name: &str, width: usize| {
            let name = format!("{prefix}{name}.weight");
            let tensor = checkpoint.get(&name).ok_or_else(|| missing(checkpoint, &name))?;
            match tensor.shape[..] {
                [rows, columns] if columns == width => Ok(rows),
                _ => Err(unexpected(checkpoint, &name, &tensor.shape, &format!("[rows, {width}]"))),
            }
        };
        let vocabulary = rows(&names.embedding, architecture.embedding_width)?;
        let positions = match names.positions.as_str() {
            "" => None,
            name => Some(
                rows(name, architecture.hidden)?
                    .saturating_sub(architecture.family.embedding.position_offset),
            ),
        };
        let model = Self {
            checkpoint,
            family: config.model_type().to_owned(),
            prefix,
            vocabulary,
            positions,
            architecture,
        };
        let mut check = model.request(Check { checkpoint });
        check.outer()?;
        for index in 0..model.architecture.layers.len() {
            check.block(index)?;
        }
        Ok(model)
    }

    /// Number of blocks; there is one more hidden state than that.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.architecture.layers.len()
    }

    /// Width of the residual stream.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.architecture.hidden
    }

    /// Rows of the token embedding.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The longest sample that a model with learned positions takes; `None` if there is no such limit.
    #[must_use]
    pub fn longest(&self) -> Option<usize> {
        self.positions
    }

    /// The family, as the configuration names it.
    #[must_use]
    pub fn model_type(&self) -> &str {
        &self.family
    }

    pub(crate) fn request<S>(&self, source: S) -> Request<'_, S> {
        Request { architecture: &self.architecture, prefix: &self.prefix, source }
    }

    /// Names and numbers of elements of a block's tensors.
    pub(crate) fn block_tensors(&self, index: usize) -> Result<Vec<(String, usize)>, Error> {
        let mut list = self.request(List(Vec::new()));
        list.block(index)?;
        Ok(list.source.0)
    }

    pub(crate) fn load_block(&self, index: usize, dtype: DType, device: &Device) -> Result<Block, Error> {
        let weights = self.request(Load::new(self.checkpoint, dtype, device)).block(index)?;
        Block::new(&self.architecture, index, weights)
            .map_err(|source| self.failed(&format!("block {index}"), source))
    }

    pub(crate) fn load_outer(&self, dtype: DType, device: &Device) -> Result<Outer, Error> {
        let weights = self.request(Load::new(self.checkpoint, dtype, device)).outer()?;
        Outer::new(&self.architecture, weights).map_err(|source| self.failed("around the blocks", source))
    }

    fn failed(&self, place: &str, source: candle_core::Error) -> Error {
        Error::compute(format!("{place} of {}", self.checkpoint.path().display()), source)
    }

    /// The rows of the embedding matrices that these tokens need, in samples of at most `longest`; no other is read.
    pub(crate) fn load_embeddings(
        &self,
        tokens: impl Iterator<Item = u32>,
        longest: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Embeddings, Error> {
        let family = &self.architecture.family;
        let backend = CandleBackend::new(self.checkpoint);
        let name = |name: &str| format!("{}{name}.weight", self.prefix);
        let load = || {
            let tokens = Rows::load(backend, &name(&family.names.embedding), tokens, dtype, device)?;
            let offset = family.embedding.position_offset;
            let positions = (offset..offset + longest).map(|position| position as u32);
            let positions = match family.names.positions.as_str() {
                "" => None,
                matrix => Some(Rows::load(backend, &name(matrix), positions, dtype, device)?),
            };
            Ok(Embeddings { tokens, positions })
        };
        load().map_err(|source| self.failed("the embedding", source))
    }

    /// The embeddings of a pack as they enter block 0, `[tokens, hidden]`.
    pub(crate) fn embed(
        &self,
        tokens: &[u32],
        pack: &Pack,
        embeddings: &Embeddings,
        outer: &Outer,
    ) -> Result<Tensor, Error> {
        let architecture = &self.architecture;
        let embed = || {
            let mut x = embeddings.tokens.pick(tokens)?;
            if let Some(project_in) = &outer.project_in {
                x = product(&x, project_in)?;
            }
            if architecture.embedding_scale != 1.0 {
                x = (x * architecture.embedding_scale)?;
            }
            if let Some(rows) = &embeddings.positions {
                let offset = architecture.family.embedding.position_offset;
                let positions: Vec<u32> = pack
                    .lengths
                    .iter()
                    .flat_map(|length| (offset..offset + length).map(|position| position as u32))
                    .collect();
                x = (x + rows.pick(&positions)?)?;
            }
            match &outer.embedding_norm {
                Some(norm) => norm.apply(&x),
                None => Ok(x),
            }
        };
        embed().map_err(|source| self.failed("the embedding", source))
    }

    /// The last hidden state from the last block's output.
    pub(crate) fn finish(&self, x: &Tensor, outer: &Outer) -> Result<Tensor, Error> {
        let finish = || {
            let x = outer.final_norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.apply(x))?;
            outer.project_out.as_ref().map_or_else(|| Ok(x.clone()), |project_out| product(&x, project_out))
        };
        finish().map_err(|source| self.failed("the final norm", source))
    }
}

/// Rows of the embedding matrices, loaded.
#[derive(Debug)]
pub(crate) struct Embeddings {
    tokens: Rows,
    positions: Option<Rows>,
}

/// What stands outside the blocks, loaded.
#[derive(Debug)]
pub(crate) struct Outer {
    embedding_norm: Option<Norm>,
    project_in: Option<Tensor>,
    project_out: Option<Tensor>,
    final_norm: Option<Norm>,
}

impl Outer {
    fn new(architecture: &Architecture, weights: OuterWeights<Tensor>) -> candle_core::Result<Self> {
        let transposed = |weight: Option<Tensor>| weight.map(|weight| weight.t()).transpose();
        Ok(Self {
            embedding_norm: architecture.norm(weights.embedding_norm)?,
            project_in: transposed(weights.project_in)?,
            project_out: transposed(weights.project_out)?,
            final_norm: architecture.norm(weights.final_norm)?,
        })
    }
}

impl Architecture {
    /// One of the norms over the residual stream.
    pub(crate) fn norm(&self, weights: Option<NormWeights<Tensor>>) -> candle_core::Result<Option<Norm>> {
        let norm = &self.family.norm;
        weights
            .map(|NormWeights { weight, bias }| {
                Norm::new(norm.kind, self.epsilon, norm.unit_offset, weight, bias)
            })
            .transpose()
    }
}

/// Sees that a tensor is there and has its shape.
struct Check<'a> {
    checkpoint: &'a Checkpoint,
}

impl Source for Check<'_> {
    type Tensor = ();

    fn get(&mut self, name: &str, shape: &[usize]) -> Result<(), Error> {
        match self.checkpoint.get(name) {
            None => Err(missing(self.checkpoint, name)),
            Some(tensor) if tensor.shape == shape => Ok(()),
            Some(tensor) => Err(unexpected(self.checkpoint, name, &tensor.shape, &format!("{shape:?}"))),
        }
    }
}

fn missing(checkpoint: &Checkpoint, name: &str) -> Error {
    let unreadable = checkpoint.unsupported().iter().find(|entry| entry.name == name);
    Error::MissingTensor {
        path: checkpoint.took().into(),
        name: name.to_owned(),
        reason: unreadable
            .map_or_else(|| "is missing".to_owned(), |entry| format!("cannot be read: {}", entry.reason)),
    }
}

fn unexpected(checkpoint: &Checkpoint, name: &str, found: &[usize], expected: &str) -> Error {
    let found = format!("{found:?}");
    Error::TensorShape {
        path: checkpoint.took().into(),
        name: name.to_owned(),
        found,
        expected: expected.to_owned(),
    }
}

/// Notes what is asked for.
struct List(Vec<(String, usize)>);

impl Source for List {
    type Tensor = ();

    fn get(&mut self, name: &str, shape: &[usize]) -> Result<(), Error> {
        self.0.push((name.to_owned(), shape.iter().product()));
        Ok(())
    }
}

/// Loads a tensor through candle's VarBuilder.
struct Load<'a> {
    checkpoint: &'a Checkpoint,
    weights: VarBuilder<'a>,
}

impl<'a> Load<'a> {
    fn new(checkpoint: &'a Checkpoint, dtype: DType, device: &Device) -> Self {
        Self { checkpoint, weights: var_builder(checkpoint, dtype, device) }
    }
}

impl Source for Load<'_> {
    type Tensor = Tensor;

    fn get(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        self.weights.get(shape, name).map_err(|source| {
            if out_of_memory(&source) {
                return Error::compute(format!("tensor `{}`", shown(name)), source);
            }
            let path = self.checkpoint.took().into();
            Error::Load { path, name: name.to_owned(), source: Box::new(source) }
        })
    }
}
