//! Models that are read from where they are: nothing is stored, and no more is fetched than is compared.

use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::Duration;

use loopback_hub::{Content, Fault};

use crate::online::{Files, Online, assert_same_tables, csv_files, fixture, wait_until};
use crate::support::{safetensors_head, stderr};
use crate::{compare, tables_on_disk};

/// Bytes of requests that a tool may read to no purpose for each file: heads read in one go, gaps read through.
const SLACK: u64 = 256 << 10;

/// Puts the two models of a fixture on the Hub.
fn put(online: &Online, a: &str, b: &str) -> u64 {
    let models = [("org/a", fixture(a)), ("org/b", fixture(b))];
    let size = models.iter().flat_map(|(_, files)| files).map(|(_, bytes)| bytes.len() as u64).sum();
    for (id, files) in models {
        online.hub.add_model(id, files);
    }
    size
}

/// Streams a pair of fixtures; its tables have to be those of the files on disk. Returns what was said.
fn assert_streamed_as_local(online: &Online, a: &str, b: &str) -> String {
    let (code, local) = tables_on_disk(online, a, b);
    let streamed = online.outdir("streamed");
    let output = compare(online, "org/a", "org/b", &streamed).arg("--stream").output().unwrap();
    assert_eq!(output.status.code(), code, "{}", stderr(&output));
    assert_same_tables(&csv_files(&streamed), &local);
    assert!(online.cached().is_empty(), "{:?}", online.cached());
    online.redacted(&output)
}

#[test]
fn every_format_is_streamed_and_nothing_stored() {
    for (a, b) in [
        ("pairs/neox/a", "pairs/neox/b"),
        ("pairs/mixed/a", "pairs/mixed/b"), // one safetensors file, several of PyTorch
        ("pairs/transposed/a", "pairs/transposed/b"),
        ("pairs/ledger/a", "pairs/ledger/b"),
        ("pairs/dtypes/a", "pairs/dtypes/b"),
        ("formats/safetensors_sharded", "formats/safetensors_single"),
        ("formats/torch_legacy_dtypes", "formats/torch_zip_deflated"),
    ] {
        let online = Online::new();
        let size = put(&online, a, b);
        assert_streamed_as_local(&online, a, b);
        // Read once: files this small may be read whole, but not twice.
        assert!(online.hub.sent() <= size, "{a}: {} of {size} bytes", online.hub.sent());
    }
}

/// Whether a machine streams its part or downloads for it, it is a part of the same commits.
#[test]
fn parts_are_streamed_too() {
    let online = Online::new();
    put(&online, "pairs/ledger/a", "pairs/ledger/b");
    let (code, local) = tables_on_disk(&online, "pairs/ledger/a", "pairs/ledger/b");
    let parts = online.outdir("parts");
    let part = |share: &str, flags: &[&str]| {
        let mut command = compare(&online, "org/a", "org/b", &parts);
        let output = command.args(["--shard", share]).args(flags).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code < 2), "{}", stderr(&output));
    };
    let merge = || {
        let mut command = online.command(assert_cmd::cargo::cargo_bin!("collect-param-stats"));
        let output = command.arg("merge").arg(parts.join("org_a__to__org_b")).output().unwrap();
        assert_eq!(output.status.code(), code, "{}", stderr(&output));
        assert_same_tables(&csv_files(&parts), &local);
        stderr(&output)
    };
    for share in ["0/3", "1/3", "2/3"] {
        part(share, &["--stream"]);
    }
    assert!(online.cached().is_empty(), "{:?}", online.cached());
    assert!(!merge().contains("warning"));
    part("1/3", &[]);
    let warning = "warning: part 1 has other arguments than part 0; the tables tell those of part 0\n";
    assert!(merge().starts_with(warning));
}

#[test]
fn it_says_what_it_does() {
    let online = Online::new();
    put(&online, "pairs/neox/a", "pairs/neox/b");
    insta::assert_snapshot!(assert_streamed_as_local(&online, "pairs/neox/a", "pairs/neox/b"));
}

#[test]
fn errors_that_stay_end_the_run() {
    for (case, fault) in [("status", Fault::RetryAfter(500, 0)), ("ranges", Fault::IgnoreRange)] {
        let online = Online::new();
        put_vast(&online);
        online.hub.fail("/cdn/", fault, usize::MAX);
        let outdir = online.outdir("results");
        let output = compare(&online, "org/a", "org/b", &outdir).arg("--stream").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        insta::assert_snapshot!(format!("error_{case}"), online.redacted(&output));
        assert!(!outdir.exists(), "{case}: nothing is written");
    }
}

/// Side of the square matrices below, and the bytes of one.
const SIDE: usize = 512;
const LAYER: usize = SIDE * SIDE * 2;

/// A safetensors file up to the end of its linear layers, and its length: these layers, and then embeddings of so many
/// rows, which are not compared.
fn head(layers: Range<usize>, rows: usize, scale: f32) -> (Vec<u8>, usize) {
    let end = layers.len() * LAYER;
    let length = end + rows * SIDE * 2;
    let entry = |name: &str, rows: usize, start: usize, end: usize| {
        format!(r#""{name}":{{"dtype":"BF16","shape":[{rows},{SIDE}],"data_offsets":[{start},{end}]}}"#)
    };
    let layer = |(index, layer)| entry(&name(layer), SIDE, index * LAYER, (index + 1) * LAYER);
    let mut entries: Vec<_> = layers.clone().enumerate().map(layer).collect();
    entries.push(entry(embedding(layers.start), rows, end, length));
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    for layer in layers {
        for index in 0..SIDE * SIDE {
            let value = scale * (((index + layer) * 7 % 1013) as f32 - 506.0);
            bytes.extend(&value.to_bits().to_le_bytes()[2..]); // bf16 is the upper half of f32
        }
    }
    (bytes, 8 + header.len() + length)
}

fn name(layer: usize) -> String {
    format!("model.layers.{layer}.mlp.up_proj.weight")
}

/// The embedding in the file that begins with this layer.
fn embedding(layer: usize) -> &'static str {
    if layer == 0 { "model.embed_tokens.weight" } else { "model.embed_positions.weight" }
}

/// Sixteen layers in two files, each with as many bytes of embeddings.
fn sharded(scale: f32) -> Files {
    let file = |shard: usize| format!("model-{shard:05}-of-00002.safetensors");
    let shard = |layers: Range<usize>| {
        let (mut bytes, length) = head(layers.clone(), layers.len() * SIDE, scale);
        bytes.resize(length, 0);
        bytes
    };
    let entry = |layer: usize| format!(r#""{}":"{}""#, name(layer), file(1 + layer / 8));
    let mut entries: Vec<_> = (0..16).map(entry).collect();
    entries.extend([0, 8].map(|layer| format!(r#""{}":"{}""#, embedding(layer), file(1 + layer / 8))));
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, entries.join(","));
    vec![
        (file(1), shard(0..8)),
        (file(2), shard(8..16)),
        ("model.safetensors.index.json".to_owned(), index.into_bytes()),
    ]
}

/// Puts the sixteen layers and a change of them on the Hub. Returns the tables that they make on disk.
fn put_sharded(online: &Online) -> Vec<(String, String)> {
    let [a, b] = [sharded(1.0), sharded(1.25)];
    let disk = online.disk(&[("org/a", &a), ("org/b", &b)]);
    online.hub.add_model("org/a", a);
    online.hub.add_model("org/b", b);
    let outdir = online.outdir("local");
    let output = compare(online, "org/a", "org/b", &outdir).current_dir(disk).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    csv_files(&outdir)
}

/// Bytes of the layers of both models, and what their four files may take besides.
const NEEDED: u64 = 2 * 16 * LAYER as u64 + 4 * SLACK;

#[test]
fn what_is_not_compared_is_not_fetched_and_nothing_twice() {
    let online = Online::new();
    let local = put_sharded(&online);
    let outdir = online.outdir("streamed");
    let output = compare(&online, "org/a", "org/b", &outdir).arg("--stream").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_tables(&csv_files(&outdir), &local);
    assert!(online.hub.sent() <= NEEDED, "{} of {NEEDED} bytes", online.hub.sent());
    assert!(online.cached().is_empty(), "{:?}", online.cached());
}

#[test]
fn errors_that_pass_are_waited_for() {
    let online = Online::new();
    let local = put_sharded(&online);
    online.hub.fail("/api/models/", Fault::RetryAfter(502, 0), 1);
    online.hub.fail("/resolve/", Fault::RetryAfter(429, 1), 1);
    online.hub.fail("/resolve-cache/", Fault::Drop { after: 10 }, 1);
    for fault in
        [Fault::RetryAfter(429, 0), Fault::RetryAfter(503, 0), Fault::Expire, Fault::Drop { after: 0 }]
    {
        online.hub.fail("/cdn/", fault, 1);
    }
    // The first of these meet headers, which are shorter, the others tensors.
    online.hub.fail("/cdn/", Fault::Drop { after: 100_000 }, 8);
    online.hub.fail("/cdn/", Fault::WrongLength, 1);
    online.hub.fail("/cdn/", Fault::Drop { after: 100_000 }, 4);
    let outdir = online.outdir("streamed");
    let output = compare(&online, "org/a", "org/b", &outdir).arg("--stream").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_tables(&csv_files(&outdir), &local);
    // Only an answer of the wrong length is for nothing; what came before a drop is kept.
    let lost = 4 << 20;
    assert!(online.hub.sent() <= NEEDED + lost, "{} of {NEEDED} bytes", online.hub.sent());
    assert!(online.cached().is_empty(), "{:?}", online.cached());
}

/// One layer, and then a terabyte of embeddings.
fn vast(scale: f32) -> Content {
    let (head, length) = head(0..1, 1 << 30, scale);
    Content::with_zeros(head, length)
}

fn put_vast(online: &Online) {
    for (id, scale) in [("org/a", 1.0), ("org/b", 1.25)] {
        online.hub.add_model(id, [("model.safetensors".to_owned(), vast(scale))]);
    }
}

#[test]
fn a_model_larger_than_the_disk_is_compared_by_what_is_needed_of_it() {
    let online = Online::new();
    put_vast(&online);
    let outdir = online.outdir("results");
    let output = compare(&online, "org/a", "org/b", &outdir).arg("--stream").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let matrices = &csv_files(&outdir).into_iter().find(|(name, _)| name == "per_matrix.csv").unwrap().1;
    assert_eq!(matrices.lines().count(), 2, "{matrices}");
    let bound = 2 * (LAYER as u64 + SLACK);
    assert!(online.hub.sent() <= bound, "{} of {bound} bytes", online.hub.sent());
    assert!(online.cached().is_empty());
}

#[test]
fn a_streamed_model_that_is_in_the_cache_is_taken_from_there() {
    let online = Online::new();
    put(&online, "pairs/neox/a", "pairs/neox/b");
    let run = |arguments: &[&str], outdir: &str| {
        let outdir = online.outdir(outdir);
        let output = compare(&online, "org/a", "org/b", &outdir).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        csv_files(&outdir)
    };
    let downloaded = run(&[], "downloaded");
    online.hub.forget_requests();
    assert_same_tables(&run(&["--stream"], "streamed"), &downloaded);
    assert_eq!(online.hub.sent(), 0);
}

#[test]
#[cfg(unix)]
fn a_signal_ends_a_stream() {
    let online = Online::new();
    put_vast(&online);
    // After the headers, which are read first.
    online.hub.fail("/cdn/", Fault::Delay(Duration::ZERO), 2);
    online.hub.fail("/cdn/", Fault::Stall, usize::MAX);
    let outdir = online.outdir("results");
    let mut command = compare(&online, "org/a", "org/b", &outdir);
    let child = command.arg("--stream").stderr(Stdio::piped()).spawn().unwrap();
    wait_until("tensors are waited for", || online.deliveries().iter().any(|request| request.status == 0));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(stderr(&output), "error: interrupted; nothing was written\n");
    assert!(!outdir.exists());
}

#[test]
fn a_stream_that_was_killed_fetches_what_it_had_not_finished() {
    let online = Online::new();
    let local = put_sharded(&online);
    online.hub.fail("/cdn/", Fault::Delay(Duration::from_millis(200)), 100);
    let outdir = online.outdir("streamed");
    let streamed = || {
        let mut command = compare(&online, "org/a", "org/b", &outdir);
        command.args(["--stream", "--resume", "--threads", "1"]).stderr(Stdio::piped());
        command
    };
    let journal = outdir.join("org_a__to__org_b/param_stats.journal");
    let mut child = streamed().spawn().unwrap();
    wait_until("some layers are finished", || journal.metadata().is_ok_and(|file| file.len() > 4_000));
    child.kill().unwrap();
    child.wait().unwrap();

    online.hub.forget_requests();
    let output = streamed().output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert_same_tables(&csv_files(&outdir), &local);
    let (finished, _) = message.split_once(" of 16 matrices were finished by an earlier run\n").unwrap();
    let needed = NEEDED - finished.parse::<u64>().unwrap() * 2 * LAYER as u64;
    assert!(needed < NEEDED && online.hub.sent() <= needed, "{} of {needed} bytes", online.hub.sent());
}

/// A gigabyte and a quarter, and an address space of one for all that the tool needs.
#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_model() {
    let online = Online::new();
    let layers: Vec<_> = (0..10).map(|layer| (name(layer), vec![4096, 4096])).collect();
    let head = safetensors_head(&layers);
    for id in ["org/a", "org/b"] {
        let content = Content::with_zeros(head.clone(), head.len() + layers.len() * 4096 * 4096 * 4);
        online.hub.add_model(id, [("model.safetensors".to_owned(), content)]);
    }
    let inner = compare(&online, "org/a", "org/b", &online.outdir("results"));
    let mut shell = online.command("/bin/sh".as_ref());
    // Each thread that allocates would reserve addresses of its own, which are not used.
    shell.env("MALLOC_ARENA_MAX", "1").args(["-c", "ulimit -v 1048576; exec \"$@\"", "sh"]);
    let output =
        shell.arg(inner.get_program()).args(inner.get_args()).args(["--threads", "2", "--stream"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(csv_files(&online.outdir("results"))[3].1.lines().count(), 11);
}
