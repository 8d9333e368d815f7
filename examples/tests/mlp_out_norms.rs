//! Runs the example `mlp_out_norms` against what transformers gives for the same model and text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use assert_cmd::assert::OutputAssertExt;

const PAIR: &str = "fixtures/activations/pair";

#[test]
fn each_block_has_the_mean_norm_that_transformers_gives() {
    let mut command = support::example("mlp_out_norms");
    let ran = command.args([format!("{PAIR}/a"), format!("{PAIR}/forget.txt")]).assert().code(0);
    // By a forward hook on each LlamaMLP, in f32, over the 221 tokens of the text.
    let expected = "blocks.0.mlp_out 10.4995\nblocks.1.mlp_out 8.7449\nblocks.2.mlp_out 8.8939\n";
    assert_eq!(std::str::from_utf8(&ran.get_output().stdout).unwrap(), expected);
}

#[test]
fn without_arguments_it_says_what_it_wants() {
    let ran = support::example("mlp_out_norms").assert().failure();
    let said = String::from_utf8(ran.get_output().stderr.clone()).unwrap();
    assert!(said.contains("give a MODEL and a TEXT"), "{said}");
}
