//! What is fetched and kept, what is taken from where, and what the cache is worth without a network.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use loopback_hub::{Fault, Kind, LoopbackHub};

use crate::online::{Files, Online, assert_same_tables, csv_files, fixture, size, with};
use crate::support::{provenance, stderr};
use crate::{compare, compare_pair, pair, tables_of_pair, tables_on_disk};

#[test]
fn models_are_downloaded_once_and_then_need_no_network() {
    let (online, [a, b]) = pair();
    let local = tables_of_pair(&online);
    let output = compare_pair(&online, "first").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!("downloaded", online.redacted(&output));
    assert_same_tables(&csv_files(&online.outdir("first")), &local);

    // One weight format and the configuration, each once.
    assert_eq!(online.resolved(), ["config.json", "model.safetensors"]);
    let bytes: u64 =
        [&a, &b].map(|files| size(files, "config.json") + size(files, "model.safetensors")).iter().sum();
    assert_eq!(online.hub.sent(), bytes);
    // The cache is that of Python.
    insta::assert_snapshot!("cache", online.cached().join("\n"));
    online.assert_blobs_are(&[&a, &b]);

    online.hub.forget_requests();
    let output = compare_pair(&online, "again").output().unwrap();
    assert_eq!((output.status.code(), online.hub.sent()), (Some(0), 0));
    assert_same_tables(&csv_files(&online.outdir("again")), &local);

    let stopped = LoopbackHub::start().unwrap().endpoint();
    for variable in [("HF_ENDPOINT", stopped.as_str()), ("HF_HUB_OFFLINE", "1")] {
        let output = compare_pair(&online, variable.0).envs([variable]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{variable:?}: {}", stderr(&output));
        assert_same_tables(&csv_files(&online.outdir(variable.0)), &local);
    }
}

#[test]
fn shards_are_found_through_their_index() {
    let online = Online::new();
    let (a, b) = (fixture("pairs/mixed/a"), fixture("pairs/mixed/b"));
    online.hub.add_model("org/a", a.clone());
    online.hub.add_model("org/b", with(b.clone(), &[("pytorch_model-00003-of-00003.bin", b"left over")]));
    let (code, local) = tables_on_disk(&online, "pairs/mixed/a", "pairs/mixed/b");
    let output = compare(&online, "org/a", "org/b", &online.outdir("results")).output().unwrap();
    assert_eq!(output.status.code(), code, "{}", stderr(&output));
    assert_same_tables(&csv_files(&online.outdir("results")), &local);
    let mut expected: Vec<_> = a.into_iter().chain(b).map(|(name, _)| name).collect();
    expected.sort();
    expected.dedup();
    assert_eq!(online.resolved(), expected);
}

#[test]
fn a_repository_that_was_renamed_is_found() {
    let (online, _) = pair();
    online.hub.add_alias("org/older", "org/base");
    let output = compare(&online, "org/older", "org/base", &online.outdir("results")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn tables_say_which_commits_they_are_of() {
    for more in [None, Some("--stream")] {
        let (online, [_, b]) = pair();
        let commit = online.hub.add_revision(Kind::Model, "org/tuned", "step-2", b);
        let outdir = online.outdir("results");
        let mut command = compare(&online, "org/base", "org/tuned@step-2", &outdir);
        let output = command.args(["--format", "parquet"]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let get = provenance(&outdir.join("org_base__to__org_tuned_step-2/per_layer.parquet"));
        assert_eq!((get("model_b"), get("model_b_commit")), ("org/tuned@step-2".to_owned(), commit));
    }
}

#[test]
fn offline_nothing_is_asked_and_what_lacks_is_said() {
    let (online, _) = pair();
    let output = compare_pair(&online, "offline").env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("offline", online.redacted(&output));
    assert_eq!(online.hub.requests(), []);
    assert!(!online.outdir("offline").exists() && online.cached().is_empty());
}

#[test]
fn a_commit_and_the_scheme_of_the_hub_name_models_too() {
    let (online, [a, _]) = pair();
    let commit = online.hub.add_revision(Kind::Model, "gpt2", "main", a);
    let names = [format!("hf://gpt2@{commit}"), "hf://org/tuned@step-2".to_owned()];
    let run = |outdir: &str| {
        let outdir = online.outdir(outdir);
        let output = compare(&online, &names[0], &names[1], &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        csv_files(&outdir)
    };
    let local = tables_of_pair(&online);
    assert_same_tables(&run("first"), &local);
    online.hub.forget_requests();
    assert_same_tables(&run("second"), &local);
    let about_commit = online.hub.requests().into_iter().filter(|request| request.path.contains(&commit));
    assert_eq!(about_commit.count(), 0, "a commit that is there stays what it is");
}

#[test]
fn a_path_that_exists_is_a_path() {
    let (online, [a, _]) = pair();
    let mut command = compare(&online, "org/base", "org/base", &online.outdir("path"));
    let output = command.current_dir(online.disk(&[("org/base", &a)])).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((online.hub.requests(), online.home().exists()), (vec![], false));
}

/// A repository in the cache as `huggingface_hub` leaves it.
#[cfg(unix)]
fn python_cache(cache: &Path, id: &str, revision: &str, commit: &str, files: &Files) {
    let repository = cache.join(format!("models--{}", id.replace('/', "--")));
    let snapshot = repository.join("snapshots").join(commit);
    for folder in [repository.join("refs"), repository.join("blobs"), snapshot.clone()] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(repository.join("refs").join(revision), commit).unwrap();
    for (index, (name, bytes)) in files.iter().enumerate() {
        let blob = format!("{index:040x}");
        std::fs::write(repository.join("blobs").join(&blob), bytes).unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{blob}"), snapshot.join(name)).unwrap();
    }
}

#[test]
#[cfg(unix)]
fn what_python_has_cached_is_used_and_nothing_asked() {
    let (online, [a, b]) = pair();
    let local = tables_of_pair(&online);
    let elsewhere = online.outdir("cache");
    for cache in [online.home().join("hub"), elsewhere.clone()] {
        python_cache(&cache, "org/base", "main", &"1".repeat(40), &a);
        python_cache(&cache, "org/tuned", "step-2", &"2".repeat(40), &b);
    }
    let output = compare_pair(&online, "home").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_tables(&csv_files(&online.outdir("home")), &local);

    // HF_HUB_CACHE comes before HF_HOME.
    std::fs::remove_dir_all(online.home()).unwrap();
    let output = compare_pair(&online, "elsewhere").env("HF_HUB_CACHE", &elsewhere).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_tables(&csv_files(&online.outdir("elsewhere")), &local);
    assert_eq!((online.hub.requests(), online.home().exists()), (vec![], false));
}

#[test]
#[cfg(unix)]
fn what_the_cache_lacks_is_fetched() {
    for whole in [false, true] {
        let (online, [_, b]) = pair();
        let commit = online.hub.add_revision(Kind::Model, "org/tuned", "step-2", b.clone());
        let mut some = b.clone();
        some.retain(|(name, _)| whole || name == "config.json");
        let cache = online.home().join("hub");
        python_cache(&cache, "org/tuned", "step-2", &commit, &some);
        if whole {
            // A link without its blob.
            std::fs::remove_file(cache.join("models--org--tuned/blobs").join(format!("{:040x}", 1))).unwrap();
        }
        let output = compare_pair(&online, "offline").env("HF_HUB_OFFLINE", "1").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let output = compare_pair(&online, "results").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_same_tables(&csv_files(&online.outdir("results")), &tables_of_pair(&online));
        let weights = size(&b, "model.safetensors");
        assert_eq!(online.deliveries().iter().map(|request| request.sent).sum::<u64>(), 2 * weights);
    }
}

#[test]
fn two_processes_at_once_fetch_each_file_once() {
    let (online, [a, b]) = pair();
    online.hub.fail("/cdn/", Fault::Delay(Duration::from_millis(300)), usize::MAX);
    let spawn = |outdir: &str| compare_pair(&online, outdir).stderr(Stdio::piped()).spawn().unwrap();
    let children = [("one", spawn("one")), ("other", spawn("other"))];
    let tables = children.map(|(outdir, child)| {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        csv_files(&online.outdir(outdir))
    });
    assert_same_tables(&tables[0], &tables[1]);
    let weights: u64 = [&a, &b].map(|files| size(files, "model.safetensors")).iter().sum();
    assert_eq!(online.deliveries().iter().map(|request| request.sent).sum::<u64>(), weights);
    online.assert_blobs_are(&[&a, &b]);
}
