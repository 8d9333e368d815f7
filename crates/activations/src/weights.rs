//! Which tensors a model is made of: names and shapes, asked for in one place, whether to check them or to load them.

use crate::Error;
use crate::architecture::{Architecture, Layer};
use crate::family::{HeadNorm, HeadNormOver, ProjectionLayout};

/// Gives tensors by name. What a tensor is depends on the purpose: nothing when checking, data when loading.
pub(crate) trait Source {
    type Tensor;

    /// The tensor of that name, which must have that shape.
    fn get(&mut self, name: &str, shape: &[usize]) -> Result<Self::Tensor, Error>;
}

/// A linear map: weight `[out, in]` (`[in, out]` in families with transposed ones) and bias `[out]`.
#[derive(Debug)]
pub(crate) struct Linear<T> {
    pub(crate) weight: T,
    pub(crate) bias: Option<T>,
}

#[derive(Debug)]
pub(crate) struct NormWeights<T> {
    pub(crate) weight: Option<T>,
    pub(crate) bias: Option<T>,
}

/// Norms of queries or keys: one tensor, or one for each head.
#[derive(Debug)]
pub(crate) struct HeadNormWeights<T> {
    pub(crate) weights: Vec<T>,
    pub(crate) bias: Option<T>,
}

#[derive(Debug)]
pub(crate) struct BlockWeights<T> {
    pub(crate) attention_norm: Option<NormWeights<T>>,
    pub(crate) attention_post_norm: Option<NormWeights<T>>,
    pub(crate) mlp_norm: Option<NormWeights<T>>,
    pub(crate) mlp_post_norm: Option<NormWeights<T>>,
    /// The fused one, or those of queries, keys and values.
    pub(crate) projections: Vec<Linear<T>>,
    pub(crate) output: Linear<T>,
    pub(crate) query_norm: Option<HeadNormWeights<T>>,
    pub(crate) key_norm: Option<HeadNormWeights<T>>,
    pub(crate) mlp: MlpWeights<T>,
}

#[derive(Debug)]
pub(crate) enum MlpWeights<T> {
    Dense(DenseWeights<T>),
    Mixture {
        router: T,
        experts: Vec<DenseWeights<T>>,
        shared: Option<DenseWeights<T>>,
        shared_gate: Option<T>,
    },
}

#[derive(Debug)]
pub(crate) struct DenseWeights<T> {
    /// Gate and up, or one of both, or up alone.
    pub(crate) inputs: Vec<Linear<T>>,
    pub(crate) down: Linear<T>,
}

/// What stands outside the blocks.
#[derive(Debug)]
pub(crate) struct OuterWeights<T> {
    pub(crate) embedding_norm: Option<NormWeights<T>>,
    pub(crate) project_in: Option<T>,
    pub(crate) project_out: Option<T>,
    pub(crate) final_norm: Option<NormWeights<T>>,
}

/// Asks a source for the tensors of an architecture.
pub(crate) struct Request<'a, S> {
    pub(crate) architecture: &'a Architecture,
    /// What stands before every name.
    pub(crate) prefix: &'a str,
    pub(crate) source: S,
}

impl<S: Source> Request<'_, S> {
    fn get(&mut self, name: &str, shape: &[usize]) -> Result<S::Tensor, Error> {
        self.source.get(name, shape)
    }

    fn linear(
        &mut self,
        name: &str,
        input: usize,
        output: usize,
        bias: bool,
    ) -> Result<Linear<S::Tensor>, Error> {
        let transposed = self.architecture.family.names.transposed_linears;
        let shape = if transposed { [input, output] } else { [output, input] };
        Ok(Linear {
            weight: self.get(&format!("{name}.weight"), &shape)?,
            bias: if bias { Some(self.get(&format!("{name}.bias"), &[output])?) } else { None },
        })
    }

    fn norm(&mut self, place: &str, name: &str) -> Result<Option<NormWeights<S::Tensor>>, Error> {
        if name.is_empty() {
            return Ok(None);
        }
        let (norm, hidden) = (&self.architecture.family.norm, [self.architecture.hidden]);
        let (weight, bias) = (norm.weight, norm.bias);
        Ok(Some(NormWeights {
            weight: if weight { Some(self.get(&format!("{place}{name}.weight"), &hidden)?) } else { None },
            bias: if bias { Some(self.get(&format!("{place}{name}.bias"), &hidden)?) } else { None },
        }))
    }

    pub(crate) fn outer(&mut self) -> Result<OuterWeights<S::Tensor>, Error> {
        let architecture = self.architecture;
        let names = &architecture.family.names;
        let prefix = self.prefix.to_owned();
        let (width, hidden) = (architecture.embedding_width, architecture.hidden);
        let mut projection = |name: &str, shape: [usize; 2]| {
            if width == hidden {
                Ok(None)
            } else {
                self.source.get(&format!("{prefix}{name}.weight"), &shape).map(Some)
            }
        };
        let project_in = projection(&names.project_in, [hidden, width])?;
        let project_out = projection(&names.project_out, [width, hidden])?;
        Ok(OuterWeights {
            embedding_norm: self.norm(&prefix, &names.embedding_norm)?,
            project_in,
            project_out,
            final_norm: self.norm(&prefix, &names.final_norm)?,
        })
    }

    pub(crate) fn block(&mut self, index: usize) -> Result<BlockWeights<S::Tensor>, Error> {
        let architecture = self.architecture;
        let layer = architecture.layers[index];
        let (block, attention) = (&architecture.family.block, &architecture.family.attention);
        let place = format!("{}{}.{index}.", self.prefix, architecture.family.names.blocks);
        let hidden = architecture.hidden;
        let head_dim = architecture.head_dim;
        let (queries, keys) = (architecture.heads * head_dim, architecture.key_value_heads * head_dim);
        let projections = match attention.layout {
            ProjectionLayout::Separate => {
                vec![(&attention.query, queries), (&attention.key, keys), (&attention.value, keys)]
            }
            _ => vec![(&attention.fused, architecture.projected())],
        };
        let projections = projections
            .into_iter()
            .map(|(name, rows)| self.linear(&format!("{place}{name}"), hidden, rows, attention.input_bias))
            .collect::<Result<_, _>>()?;
        let head_norm = attention.head_norm.as_ref();
        Ok(BlockWeights {
            attention_norm: self.norm(&place, &block.attention_norm)?,
            attention_post_norm: self.norm(&place, &block.attention_post_norm)?,
            mlp_norm: self.norm(&place, &block.mlp_norm)?,
            mlp_post_norm: self.norm(&place, &block.mlp_post_norm)?,
            projections,
            output: self.linear(
                &format!("{place}{}", attention.output),
                queries,
                hidden,
                attention.output_bias,
            )?,
            query_norm: self.head_norm(&place, head_norm, |norm| &norm.query, architecture.heads)?,
            key_norm: self.head_norm(&place, head_norm, |norm| &norm.key, architecture.key_value_heads)?,
            mlp: self.mlp(&place, &layer)?,
        })
    }

    fn head_norm(
        &mut self,
        place: &str,
        norm: Option<&HeadNorm>,
        name: impl Fn(&HeadNorm) -> &str,
        heads: usize,
    ) -> Result<Option<HeadNormWeights<S::Tensor>>, Error> {
        let Some(norm) = norm else { return Ok(None) };
        let name = format!("{place}{}", name(norm));
        let head_dim = self.architecture.head_dim;
        let weights = match norm.over {
            HeadNormOver::Head => vec![self.get(&format!("{name}.weight"), &[head_dim])?],
            HeadNormOver::HeadOwnWeights => vec![self.get(&format!("{name}.weight"), &[heads, head_dim])?],
            HeadNormOver::Projection => vec![self.get(&format!("{name}.weight"), &[heads * head_dim])?],
            HeadNormOver::HeadOwnTensors => (0..heads)
                .map(|head| self.get(&format!("{name}.norms.{head}.weight"), &[head_dim]))
                .collect::<Result<_, _>>()?,
        };
        let bias = if norm.bias { Some(self.get(&format!("{name}.bias"), &[head_dim])?) } else { None };
        Ok(Some(HeadNormWeights { weights, bias }))
    }

    fn mlp(&mut self, place: &str, layer: &Layer) -> Result<MlpWeights<S::Tensor>, Error> {
        let architecture = self.architecture;
        let hidden = architecture.hidden;
        let (Some(experts), Some(counts), true) =
            (&architecture.family.experts, architecture.experts, layer.mixture)
        else {
            let mlp = &architecture.family.mlp;
            let inputs = match (mlp.gate_up.as_str(), mlp.gate.as_str()) {
                ("", "") => vec![(mlp.up.clone(), 1)],
                ("", gate) => vec![(gate.to_owned(), 1), (mlp.up.clone(), 1)],
                (both, _) => vec![(both.to_owned(), 2)],
            };
            return self
                .dense(place, inputs, &mlp.down, architecture.intermediate, mlp.bias)
                .map(MlpWeights::Dense);
        };
        let expert = |name: &str, index: usize| name.replace("{}", &index.to_string());
        let dense = (0..counts.count)
            .map(|index| {
                let inputs = vec![(expert(&experts.gate, index), 1), (expert(&experts.up, index), 1)];
                self.dense(place, inputs, &expert(&experts.down, index), counts.intermediate, false)
            })
            .collect::<Result<_, _>>()?;
        let shared = match &experts.shared {
            Some([gate, up, down]) => {
                let inputs = vec![(gate.clone(), 1), (up.clone(), 1)];
                Some(self.dense(place, inputs, down, counts.shared_intermediate, false)?)
            }
            None => None,
        };
        let shared_gate = match experts.shared_gate.as_str() {
            "" => None,
            name => Some(self.get(&format!("{place}{name}.weight"), &[1, hidden])?),
        };
        let router = self.get(&format!("{place}{}.weight", experts.router), &[counts.count, hidden])?;
        Ok(MlpWeights::Mixture { router, experts: dense, shared, shared_gate })
    }

    /// `inputs`: names and how many times the intermediate size they have as rows.
    fn dense(
        &mut self,
        place: &str,
        inputs: Vec<(String, usize)>,
        down: &str,
        intermediate: usize,
        bias: bool,
    ) -> Result<DenseWeights<S::Tensor>, Error> {
        let hidden = self.architecture.hidden;
        let inputs = inputs
            .into_iter()
            .map(|(name, times)| self.linear(&format!("{place}{name}"), hidden, times * intermediate, bias))
            .collect::<Result<_, _>>()?;
        Ok(DenseWeights { inputs, down: self.linear(&format!("{place}{down}"), intermediate, hidden, bias)? })
    }
}
