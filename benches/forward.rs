//! What a forward pass reaches of the rate of its matrix products, in operations a second.
//!
//! `cargo bench -p benches --bench forward`: the group `gemm` is candle's matrix product for the shapes of one block (the
//! floor), the group `forward` all blocks of a random model of that shape over packed samples, counting the operations of
//! its linear maps alone: what else a block does shows as a lower rate.
#![allow(missing_docs)] // criterion's macros make public functions
#![allow(clippy::expect_used)] // a benchmark that cannot begin ends

use std::collections::HashMap;
use std::path::Path;

use activations::{Model, Norms, Stream, StreamOptions, is_hidden_state};
use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weights_io::Checkpoint;

/// A Llama: hidden size, heads, key-value heads, intermediate size, blocks.
struct Shape {
    name: &'static str,
    hidden: usize,
    heads: usize,
    key_value_heads: usize,
    intermediate: usize,
    blocks: usize,
}

const SHAPES: [Shape; 2] = [
    Shape { name: "smollm2_135m", hidden: 576, heads: 9, key_value_heads: 3, intermediate: 1536, blocks: 4 },
    Shape { name: "llama_1b", hidden: 2048, heads: 32, key_value_heads: 8, intermediate: 8192, blocks: 1 },
];

const HEAD_DIM: usize = 64;
const TOKENS: usize = 2048;

impl Shape {
    /// Inputs and outputs of a block's linear maps.
    fn maps(&self) -> [(&'static str, usize, usize); 7] {
        let (hidden, inner) = (self.hidden, self.intermediate);
        let (queries, keys) = (self.heads * HEAD_DIM, self.key_value_heads * HEAD_DIM);
        [
            ("self_attn.q_proj", hidden, queries),
            ("self_attn.k_proj", hidden, keys),
            ("self_attn.v_proj", hidden, keys),
            ("self_attn.o_proj", queries, hidden),
            ("mlp.gate_proj", hidden, inner),
            ("mlp.up_proj", hidden, inner),
            ("mlp.down_proj", inner, hidden),
        ]
    }

    fn operations(&self, tokens: usize) -> u64 {
        let weights: usize = self.maps().iter().map(|(_, input, output)| input * output).sum();
        (2 * weights * self.blocks * tokens) as u64
    }

    fn write(&self, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let random = |shape: &[usize]| Tensor::randn(0f32, 0.02, shape, &Device::Cpu);
        let mut tensors = HashMap::new();
        tensors.insert("model.embed_tokens.weight".to_owned(), random(&[256, self.hidden])?);
        tensors.insert("model.norm.weight".to_owned(), random(&[self.hidden])?);
        for block in 0..self.blocks {
            let mut add =
                |name: &str, tensor| tensors.insert(format!("model.layers.{block}.{name}.weight"), tensor);
            for (name, input, output) in self.maps() {
                add(name, random(&[output, input])?);
            }
            add("input_layernorm", random(&[self.hidden])?);
            add("post_attention_layernorm", random(&[self.hidden])?);
        }
        candle_core::safetensors::save(&tensors, folder.join("model.safetensors"))?;
        let config = format!(
            r#"{{"model_type": "llama", "hidden_size": {}, "num_attention_heads": {}, "num_key_value_heads": {},
            "intermediate_size": {}, "num_hidden_layers": {}, "head_dim": {HEAD_DIM}}}"#,
            self.hidden, self.heads, self.key_value_heads, self.intermediate, self.blocks
        );
        Ok(std::fs::write(folder.join("config.json"), config)?)
    }
}

fn gemm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm");
    group.sample_size(10);
    for shape in &SHAPES {
        let inputs: Vec<(Tensor, Tensor)> = shape
            .maps()
            .iter()
            .map(|(_, input, output)| {
                let random = |rows, columns| Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu);
                (random(TOKENS, *input).expect("memory"), random(*output, *input).expect("memory"))
            })
            .collect();
        group.throughput(Throughput::Elements(shape.operations(TOKENS) / shape.blocks as u64));
        group.bench_function(BenchmarkId::new("f32", format!("{}_{TOKENS}_tokens", shape.name)), |bencher| {
            bencher.iter(|| {
                for (x, weight) in &inputs {
                    x.matmul(&weight.t().expect("a matrix")).expect("matching shapes");
                }
            });
        });
    }
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    group.sample_size(10);
    for shape in &SHAPES {
        let folder = tempfile::tempdir().expect("a temporary folder");
        shape.write(folder.path()).expect("space for the model");
        let checkpoint = Checkpoint::open(folder.path()).expect("a checkpoint");
        let models = [Model::open(&checkpoint).expect("a model")];
        for length in [64, 512] {
            let samples: Vec<Vec<u32>> =
                (0..TOKENS / length).map(|_| (0..length as u32).map(|i| i % 256).collect()).collect();
            let stream = Stream::new(&models, &samples, StreamOptions::default()).expect("a stream");
            group.throughput(Throughput::Elements(shape.operations(TOKENS)));
            let name = format!("{}_{TOKENS}_tokens_by_{length}", shape.name);
            group.bench_function(BenchmarkId::new("f32", name), |bencher| {
                bencher.iter(|| stream.run(&mut [&mut Norms::new(is_hidden_state)]).expect("a run"));
            });
        }
    }
}

criterion_group!(benches, gemm, forward);
criterion_main!(benches);
