//! Downloads over a network that fails, and downloads that are ended.

use std::process::{Command, Stdio};

use loopback_hub::Fault;

use crate::online::{assert_same_tables, csv_files, size, wait_until};
use crate::support::{files, stderr};
use crate::{compare_pair, pair, tables_of_pair};

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
fn a_server_that_ignores_ranges_is_coped_with() {
    let (online, [a, b]) = pair();
    online.hub.fail("/cdn/", Fault::Drop { after: 100_000 }, 1);
    online.hub.fail("/cdn/", Fault::IgnoreRange, usize::MAX);
    let output = compare_pair(&online, "results").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
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
    // The folder was tried out before the download.
    let outdir = online.outdir("killed");
    let [folder] = files(&outdir).try_into().unwrap();
    assert_eq!(files(&outdir.join(folder)), [""; 0]);

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
