//! The real binary with models of the Hub, downloaded: what is asked for, what is kept, and what goes wrong.
#![cfg(feature = "network")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/online.rs"]
mod online;
#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use loopback_hub::{Fault, Kind};

use online::{Files, Online, assert_same_tables, csv_files, fixture, size, wait_until, with};
use support::{fixtures, stderr};

fn binary() -> &'static Path {
    static BINARY: std::sync::LazyLock<std::path::PathBuf> =
        std::sync::LazyLock::new(|| assert_cmd::cargo::cargo_bin!("collect-param-stats").to_path_buf());
    &BINARY
}

/// Compares two models in CSV alone.
fn compare(mut command: Command, model_a: &str, model_b: &str, outdir: &Path) -> Command {
    command.args(["--model-a", model_a, "--model-b", model_b, "--format", "csv", "--outdir"]).arg(outdir);
    command
}

/// The tables of the pair on disk, which those of the same models elsewhere have to equal.
fn tables_of_pair(online: &Online) -> Vec<(String, String)> {
    let [a, b] =
        ["a", "b"].map(|model| fixtures().join("pairs/neox").join(model).to_str().unwrap().to_owned());
    let output = compare(online.command(binary()), &a, &b, &online.outdir("local")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    csv_files(&online.outdir("local"))
}

/// The pair of the other tests on the Hub, the second at a branch, with more than is needed of the first. Returns the
/// files of both that are needed.
fn pair() -> (Online, [Files; 2]) {
    let online = Online::new();
    let [a, b] = [fixture("pairs/neox/a"), fixture("pairs/neox/b")];
    let more: [(&str, &[u8]); 6] = [
        (".gitattributes", b"*.safetensors filter=lfs"),
        ("README.md", b"# A model"),
        ("pytorch_model.bin", b"the same weights in another format"),
        ("tf_model.h5", b"and another"),
        ("tokenizer.json", b"{}"),
        ("original/consolidated.safetensors", b"of another program"),
    ];
    online.hub.add_model("org/base", with(a.clone(), &more));
    online.hub.add_revision(Kind::Model, "org/tuned", "main", with(a.clone(), &[("README.md", b"untuned")]));
    online.hub.add_revision(Kind::Model, "org/tuned", "step-2", b.clone());
    (online, [a, b])
}

const PAIR: [&str; 2] = ["org/base", "org/tuned@step-2"];

fn compare_pair(online: &Online, outdir: &str) -> Command {
    compare(online.command(binary()), PAIR[0], PAIR[1], &online.outdir(outdir))
}

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

    let offline = online.without_server();
    for (name, variable) in [("stopped", None), ("offline", Some("1"))] {
        let mut command = compare(offline.command(binary()), PAIR[0], PAIR[1], &offline.outdir(name));
        let output = command.envs(variable.map(|value| ("HF_HUB_OFFLINE", value))).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert_same_tables(&csv_files(&offline.outdir(name)), &local);
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
fn a_server_that_is_not_there_is_named() {
    let (online, _) = pair();
    let offline = online.without_server();
    let output =
        compare(offline.command(binary()), PAIR[0], PAIR[1], &offline.outdir("none")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("no_server", offline.redacted(&output));
}

#[test]
fn a_commit_and_the_scheme_of_the_hub_name_models_too() {
    let (online, [a, _]) = pair();
    let commit = online.hub.add_revision(Kind::Model, "gpt2", "main", a);
    let names = [format!("hf://gpt2@{commit}"), "hf://org/tuned@step-2".to_owned()];
    let run = |outdir: &str| {
        let outdir = online.outdir(outdir);
        let output = compare(online.command(binary()), &names[0], &names[1], &outdir).output().unwrap();
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
    let mut command = compare(online.command(binary()), "org/base", "org/base", &online.outdir("path"));
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
fn a_private_model_takes_the_token_which_goes_to_the_hub_alone() {
    let (online, _) = pair();
    online.hub.require_token("org/base", "hf_mine");
    let output = compare_pair(&online, "variable").env("HF_TOKEN", "hf_mine").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (deliveries, others): (Vec<_>, Vec<_>) =
        online.hub.requests().into_iter().partition(|request| request.path.starts_with("/cdn/"));
    assert!(deliveries.iter().all(|request| request.authorization.is_none()));
    assert!(others.iter().all(|request| request.authorization.as_deref() == Some("Bearer hf_mine")));

    // As `hf auth login` leaves it.
    std::fs::remove_dir_all(online.home()).unwrap();
    std::fs::create_dir(online.home()).unwrap();
    std::fs::write(online.home().join("token"), "hf_mine\n").unwrap();
    let output = compare_pair(&online, "file").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_had_is_said_with_its_cause_and_the_way_out() {
    let (online, _) = pair();
    online.hub.add_model("org/gated", fixture("pairs/neox/a"));
    online.hub.gate("org/gated");
    online.hub.add_model("org/private", fixture("pairs/neox/a"));
    online.hub.require_token("org/private", "hf_other");
    online.hub.add_model("org/empty", [("README.md".to_owned(), b"soon".to_vec())]);
    for (case, model, token) in [
        ("unknown", "org/unknown", None),
        ("unknown_with_token", "org/unknown", Some("hf_mine")),
        ("private", "org/private", None),
        ("private_with_token", "org/private", Some("hf_mine")),
        ("gated", "org/gated", None),
        ("gated_with_token", "org/gated", Some("hf_mine")),
        ("invalid_token", "org/base", Some("nonsense")),
        ("unknown_revision", "org/base@nowhere", None),
        ("no_weights", "org/empty", None),
        ("no_id", "hf://org/base/model.safetensors", None),
    ] {
        for stream in [false, true] {
            let outdir = online.outdir(case);
            let mut command = compare(online.command(binary()), model, model, &outdir);
            command.envs(token.map(|token| ("HF_TOKEN", token))).args(stream.then_some("--stream"));
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{case}");
            // Gated files are listed, so that fetching them may have begun.
            let message = online.redacted(&output);
            let (_, message) = message.split_at(message.find("error: ").unwrap());
            insta::allow_duplicates! {
                insta::assert_snapshot!(format!("error_{case}"), message);
            }
            assert!(!outdir.exists(), "{case}: nothing is written");
        }
    }
    assert!(online.cached().iter().all(|name| !name.contains("/snapshots/")), "{:?}", online.cached());
}

#[test]
fn errors_that_pass_are_waited_for() {
    let (online, [a, b]) = pair();
    let local = tables_of_pair(&online);
    online.hub.fail("/api/models/", Fault::RetryAfter(429, 1), 1);
    online.hub.fail("/api/models/", Fault::RetryAfter(502, 0), 1);
    online.hub.fail("/resolve/", Fault::RetryAfter(503, 0), 1);
    online.hub.fail("/resolve/", Fault::RetryAfter(429, 0), 1);
    online.hub.fail("config.json", Fault::Drop { after: 10 }, 1);
    online.hub.fail("/cdn/", Fault::Status(500), 1);
    online.hub.fail("/cdn/", Fault::Drop { after: 0 }, 1);
    online.hub.fail("/cdn/", Fault::Drop { after: 100_000 }, 2);
    online.hub.fail("/cdn/", Fault::Expire, 1);
    let output = compare_pair(&online, "results").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_tables(&csv_files(&online.outdir("results")), &local);
    online.assert_blobs_are(&[&a, &b]);
}

#[test]
fn a_silent_server_is_asked_again() {
    let (online, [a, b]) = pair();
    online.hub.fail("/api/models/", Fault::Stall, 1);
    online.hub.fail("/cdn/", Fault::StallAfter(50_000), 1);
    let output = compare_pair(&online, "results").env("HF_HUB_DOWNLOAD_TIMEOUT", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    online.assert_blobs_are(&[&a, &b]);
}

#[test]
fn errors_that_stay_end_the_run() {
    let (online, _) = pair();
    online.hub.fail("/cdn/", Fault::RetryAfter(503, 0), usize::MAX);
    let output = compare_pair(&online, "results").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("error_stays", online.redacted(&output));
    assert!(!online.outdir("results").exists());
}

#[test]
fn a_damaged_file_is_never_kept() {
    for (what, file) in [("/cdn/", "model.safetensors"), ("config.json", "config.json")] {
        let (online, [a, b]) = pair();
        online.hub.fail(what, Fault::Corrupt, usize::MAX);
        let output = compare_pair(&online, "damaged").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{what}: {}", stderr(&output));
        insta::assert_snapshot!(format!("error_damaged_{file}"), online.redacted(&output));
        assert!(!online.outdir("damaged").exists(), "{what}");
        online.assert_blobs_are(&[&a, &b]);

        online.hub.heal();
        let output = compare_pair(&online, "whole").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{what}: {}", stderr(&output));
        assert_same_tables(&csv_files(&online.outdir("whole")), &tables_of_pair(&online));
    }
}

#[test]
fn a_file_that_comes_damaged_or_short_is_fetched_again() {
    let (online, [a, b]) = pair();
    for what in ["/cdn/", "config.json"] {
        for fault in [Fault::Corrupt, Fault::WrongLength] {
            online.hub.fail(what, fault, 1);
        }
    }
    let output = compare_pair(&online, "results").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_tables(&csv_files(&online.outdir("results")), &tables_of_pair(&online));
    online.assert_blobs_are(&[&a, &b]);
}

#[test]
#[cfg(unix)]
fn a_download_that_was_killed_goes_on_where_it_was() {
    let (online, [a, b]) = pair();
    let local = tables_of_pair(&online);
    online.hub.fail("/cdn/", Fault::StallAfter(100_000), 1);
    let mut child = compare_pair(&online, "killed").stderr(Stdio::null()).spawn().unwrap();
    let partial = || {
        let sizes = online
            .cached()
            .into_iter()
            .map(|name| std::fs::metadata(online.home().join(name)).map_or(0, |file| file.len()));
        sizes.filter(|&size| size == 100_000).count()
    };
    wait_until("most of the first file is on disk", || partial() == 1);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(!online.outdir("killed").exists());

    online.hub.forget_requests();
    let output = compare_pair(&online, "resumed").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_tables(&csv_files(&online.outdir("resumed")), &local);
    let resumed = online
        .deliveries()
        .into_iter()
        .filter(|request| request.range.is_some_and(|range| range.0 == 100_000));
    assert_eq!(resumed.count(), 1);
    let weights: u64 = [&a, &b].map(|files| size(files, "model.safetensors")).iter().sum();
    let sent: u64 = online.deliveries().iter().map(|request| request.sent).sum();
    assert!(sent <= weights - 100_000, "{sent} bytes of {weights}");
    online.assert_blobs_are(&[&a, &b]);
}

#[test]
fn a_server_that_ignores_ranges_is_coped_with() {
    let (online, [a, b]) = pair();
    online.hub.fail("/cdn/", Fault::Drop { after: 100_000 }, 1);
    online.hub.fail("/cdn/", Fault::IgnoreRange, usize::MAX);
    let output = compare_pair(&online, "results").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    online.assert_blobs_are(&[&a, &b]);
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

#[test]
#[cfg(unix)]
fn a_signal_ends_a_download_that_can_go_on_later() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (online, [a, b]) = pair();
        online.hub.fail("/cdn/", Fault::StallAfter(100_000), 1);
        let child = compare_pair(&online, "interrupted").stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the download has begun", || online.hub.sent() >= 100_000);
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        insta::allow_duplicates! {
            insta::assert_snapshot!("interrupted", online.redacted(&output));
        }
        assert!(!online.outdir("interrupted").exists());
        online.assert_blobs_are(&[&a, &b]);
    }
}
