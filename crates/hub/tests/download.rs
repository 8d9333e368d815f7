//! Models are downloaded into the cache: what is fetched, how it survives faults, and what is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hub::{Error, Hub, ModelReference, Settings, Wanted};
use loopback_hub::Fault;
use support::*;

/// A model with files that nobody needs.
fn tiny(weights: &[u8]) -> Vec<(String, Vec<u8>)> {
    vec![
        file("config.json", "{}"),
        file("tokenizer.json", "{\"version\": \"1.0\"}"),
        file("model.safetensors", weights),
        file("pytorch_model.bin", noise(500)),
        file("README.md", "# Tiny"),
        file("onnx/model.onnx", noise(700)),
    ]
}

#[test]
fn only_what_is_needed_is_fetched_into_the_layout_of_python() {
    let world = World::new();
    let weights = noise(300_000);
    let commit = world.server.add_model("org/tiny", tiny(&weights));
    let ear = Ear::default();
    let located = world.hub().locate(&"org/tiny".into(), Wanted { tokenizer: true }, false, &ear).unwrap();

    assert_eq!(located.commit.as_ref(), Some(&commit));
    let snapshot = local(&located);
    assert_eq!(snapshot, world.model("org/tiny").join("snapshots").join(&commit));
    assert_eq!(std::fs::read(snapshot.join("model.safetensors")).unwrap(), weights);
    let mut names: Vec<_> =
        std::fs::read_dir(snapshot).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    let link = std::fs::read_link(snapshot.join("model.safetensors")).unwrap();
    assert!(link.starts_with("../../blobs") && link.file_name().unwrap().len() == 64, "{link:?}");
    assert_eq!(std::fs::read_to_string(world.model("org/tiny").join("refs/main")).unwrap(), commit);
    assert!(
        !std::fs::read_dir(world.model("org/tiny").join("blobs"))
            .unwrap()
            .any(|blob| { blob.unwrap().file_name().to_string_lossy().ends_with("incomplete") })
    );
    assert_eq!(world.server.sent(), 300_000 + 2 + 18);
    assert_eq!(*ear.downloads.lock().unwrap(), [(3, 300_020)]);
    assert_eq!(ear.received.lock().unwrap()["model.safetensors"], 300_000);
    assert_eq!(ear.finished.lock().unwrap().len(), 3);

    // From now on nothing is asked.
    world.server.forget_requests();
    assert_eq!(local(&get(&world.hub(), "org/tiny").unwrap()), snapshot);
    assert_eq!(local(&get(&world.hub(), &format!("org/tiny@{commit}")).unwrap()), snapshot);
    assert_eq!(local(&get(&world.offline(), "hf://org/tiny@main").unwrap()), snapshot);
    assert!(world.server.requests().is_empty());
}

#[test]
fn an_index_brings_its_shards_and_no_others() {
    let world = World::new();
    let mut files = fixture("formats/safetensors_sharded");
    files.push(file("model-of-somebody-else.safetensors", noise(9)));
    world.server.add_model("org/sharded", files);
    let located = get(&world.hub(), "org/sharded").unwrap();
    let tensors = located.open().unwrap().tensors().len();
    assert!(tensors > 1);
    assert!(!local(&located).join("model-of-somebody-else.safetensors").exists());

    let in_a_folder = fixture("formats/safetensors_sharded").into_iter().map(|(name, bytes)| {
        if name.ends_with(".index.json") {
            let index = String::from_utf8(bytes).unwrap().replace("\"model-", "\"weights/model-");
            (name, index.into_bytes())
        } else if name.ends_with(".safetensors") {
            (format!("weights/{name}"), bytes)
        } else {
            (name, bytes)
        }
    });
    world.server.add_model("org/in-a-folder", in_a_folder);
    assert_eq!(get(&world.hub(), "org/in-a-folder").unwrap().open().unwrap().tensors().len(), tensors);
}

#[test]
fn an_index_that_leaves_the_repository_is_refused() {
    let world = World::new();
    for (shard, reason) in [("../../x", "leaves the model's folder"), ("absent.safetensors", "does not have")]
    {
        let index = format!("{{\"weight_map\": {{\"a\": \"{shard}\"}}}}");
        world.server.add_model("org/broken", [file("model.safetensors.index.json", index)]);
        let error = get(&world.hub(), "org/broken").unwrap_err();
        assert!(matches!(&error, Error::Index { .. }) && error.to_string().contains(reason), "{error}");
    }
    for (index, reason) in [
        (r#"{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}"#, "repeated key `a`"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git-LFS pointer"),
        ("<!DOCTYPE html>", "HTML page"),
        (r#"{"weight_map": {}}"#, "empty"),
        ("[]", "not a weight index"),
    ] {
        world.server.add_model("org/broken", [file("model.safetensors.index.json", index)]);
        let error = get(&world.hub(), "org/broken").unwrap_err();
        assert!(matches!(&error, Error::Index { .. }) && error.to_string().contains(reason), "{error}");
    }
    world.server.add_model("org/adapter", [file("adapter_model.safetensors", "x")]);
    assert!(matches!(get(&world.hub(), "org/adapter"), Err(Error::NoWeights { .. })));
}

#[test]
fn a_dropped_connection_is_taken_up_where_it_ended() {
    let world = World::new();
    let weights = noise(1 << 20);
    world.server.add_model("org/tiny", tiny(&weights));
    world.server.fail("/cdn/", Fault::Drop { after: 400_000 }, 2);
    let located = get(&world.hub(), "org/tiny").unwrap();
    assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
    let starts: Vec<_> = world.requests("/cdn/").iter().map(|request| request.range).collect();
    assert_eq!(starts.len(), 3);
    assert!(starts[1].unwrap().0 > 0 && starts[2].unwrap().0 > starts[1].unwrap().0, "{starts:?}");
}

#[test]
fn an_interrupted_download_is_resumed_by_the_next_one() {
    let world = World::new();
    let weights = noise(1 << 20);
    world.server.add_model("org/tiny", tiny(&weights));
    world.server.fail("/cdn/", Fault::StallAfter(600_000), 1);
    let (hub, flag) = world.interruptible();
    let ear = Ear::default();
    let received = || ear.received.lock().unwrap().get("model.safetensors").copied().unwrap_or(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while received() < 600_000 {
                std::thread::sleep(Duration::from_millis(5));
            }
            flag.store(true, Ordering::Relaxed);
        });
        let found = hub.locate(&"org/tiny".into(), Wanted::default(), false, &ear);
        assert!(matches!(found, Err(Error::Interrupted)));
    });
    assert!(start.elapsed() < Duration::from_millis(1500), "it waited for the time limit");
    assert!(!world.model("org/tiny").join("refs/main").exists());

    world.server.forget_requests();
    let ear = Ear::default();
    let located = world.hub().locate(&"org/tiny".into(), Wanted::default(), false, &ear).unwrap();
    assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
    let present = ear.present.lock().unwrap()["model.safetensors"];
    assert_eq!(present, 600_000);
    assert_eq!(ear.received.lock().unwrap()["model.safetensors"], (1 << 20) - present);
    assert_eq!(world.requests("/cdn/")[0].range.unwrap().0, present);
    assert_eq!(world.server.sent(), (1 << 20) - present);
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let world = World::new();
    let weights = noise(1 << 20);
    world.server.add_model("org/tiny", tiny(&weights));
    world.server.fail("/cdn/", Fault::Drop { after: 400_000 }, 1);
    world.server.fail("/cdn/", Fault::IgnoreRange, 1);
    let ear = Ear::default();
    let located = world.hub().locate(&"org/tiny".into(), Wanted::default(), false, &ear).unwrap();
    assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
    assert_eq!(ear.received.lock().unwrap()["model.safetensors"], 1 << 20);
}

#[test]
fn damage_is_noticed_repaired_once_and_then_reported() {
    for name in ["model.safetensors", "config.json"] {
        let world = World::new();
        world.server.add_model("org/tiny", tiny(&noise(70_000)));
        let path = if name == "config.json" { "resolve-cache" } else { "/cdn/" };
        world.server.fail(path, Fault::Corrupt, 1);
        get(&world.hub(), "org/tiny").unwrap();

        let world = World::new();
        world.server.add_model("org/tiny", tiny(&noise(70_000)));
        world.server.fail(path, Fault::Corrupt, usize::MAX);
        let error = get(&world.hub(), "org/tiny").unwrap_err();
        let Error::Damaged { file, expected, found, .. } = &error else { panic!("{error}") };
        assert!(file.starts_with(name) && expected != found && expected.len() == found.len(), "{error}");
        let blobs = world.model("org/tiny").join("blobs");
        assert!(!blobs.join(format!("{expected}.incomplete")).exists());
        assert!(!blobs.join(expected).exists());
        assert!(!world.model("org/tiny").join("refs").exists());
    }
}

#[test]
fn damage_left_by_an_earlier_attempt_is_repaired() {
    let world = World::new();
    let weights = noise(70_000);
    world.server.add_model("org/tiny", tiny(&weights));
    let located = get(&world.hub(), "org/tiny").unwrap();
    let blob = std::fs::canonicalize(local(&located).join("model.safetensors")).unwrap();
    let partial = blob.with_extension("incomplete");
    for left in [vec![7; 30_000], vec![7; 70_000], vec![7; 90_000], weights.clone()] {
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&partial, &left).unwrap();
        world.server.forget_requests();
        let located = get(&world.hub(), "org/tiny").unwrap();
        assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
        assert_eq!(world.requests("/cdn/").is_empty(), left == weights);
    }
}

#[test]
fn wrong_lengths_and_errors_that_pass_are_tried_again() {
    let world = World::new();
    let weights = noise(70_000);
    world.server.add_model("org/tiny", tiny(&weights));
    world.server.fail("/api/models", Fault::Status(503), 2);
    world.server.fail("/cdn/", Fault::WrongLength, 1);
    world.server.fail("/cdn/", Fault::Status(500), 1);
    world.server.fail("/resolve/", Fault::RetryAfter(429, 1), 1);
    let start = Instant::now();
    let located = get(&world.hub(), "org/tiny").unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
}

#[test]
fn errors_that_stay_end_it() {
    let world = World::new();
    world.server.add_model("org/tiny", tiny(&noise(70_000)));
    world.server.fail("/cdn/", Fault::Status(503), usize::MAX);
    let error = get(&world.hub(), "org/tiny").unwrap_err();
    assert!(matches!(error, Error::Status { status: 503, .. }), "{error}");
    assert_eq!(world.requests("/cdn/").len(), 6);
    assert!(!error.to_string().contains("signature"), "{error}");
}

#[test]
fn a_connection_that_falls_silent_is_replaced() {
    let world = World::new();
    let weights = noise(300_000);
    world.server.add_model("org/tiny", tiny(&weights));
    world.server.fail("/cdn/", Fault::StallAfter(100_000), 1);
    world.server.fail("/api/models", Fault::Stall, 1);
    let settings = Settings { timeout: Duration::from_millis(300), ..world.settings() };
    let hub = Hub::new(settings, Arc::default());
    let located = get(&hub, "org/tiny").unwrap();
    assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
}

#[test]
fn an_expired_signature_is_renewed() {
    let world = World::new();
    let weights = noise(1 << 20);
    world.server.add_model("org/tiny", tiny(&weights));
    // One request that is dropped, then one with a signature that has expired.
    world.server.fail("/cdn/", Fault::Delay(Duration::ZERO), 1);
    world.server.fail("/cdn/", Fault::Drop { after: 400_000 }, 1);
    world.server.fail("/cdn/", Fault::Expire, 1);
    let located = get(&world.hub(), "org/tiny").unwrap();
    assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
}

#[test]
fn two_at_once_fetch_everything_once() {
    let world = World::new();
    let weights = noise(1 << 20);
    world.server.add_model("org/tiny", tiny(&weights));
    world.server.fail("/cdn/", Fault::Delay(Duration::from_millis(300)), 1);
    let ears = [Ear::default(), Ear::default()];
    std::thread::scope(|scope| {
        for ear in &ears {
            scope.spawn(|| {
                let hub = world.hub();
                let located = hub.locate(&"org/tiny".into(), Wanted::default(), false, ear).unwrap();
                assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
            });
        }
    });
    assert_eq!(world.server.sent(), (1 << 20) + 2);
    let waiting: Vec<_> = ears.iter().flat_map(|ear| ear.waiting.lock().unwrap().clone()).collect();
    assert!(waiting.contains(&"another process fetches model.safetensors".into()), "{waiting:?}");
}

#[test]
fn a_revision_stays_what_it_was_for_the_life_of_a_hub() {
    let world = World::new();
    let first = world.server.add_model("org/tiny", tiny(&noise(10)));
    let hub = world.hub();
    let reference = ModelReference::from("org/tiny@main");
    let found = hub.locate(&reference, Wanted::default(), false, &()).unwrap();
    assert_eq!(found.commit.as_ref(), Some(&first));

    let second = world.server.add_model("org/tiny", tiny(&noise(20)));
    std::fs::remove_dir_all(world.cache()).unwrap();
    let found = hub.locate(&reference, Wanted { tokenizer: true }, false, &()).unwrap();
    assert_eq!(found.commit.as_ref(), Some(&first));
    assert_eq!(get(&world.hub(), "org/tiny").unwrap().commit.as_ref(), Some(&second));
    // A short hash is no name in the cache: the Hub is asked.
    world.server.add_revision(loopback_hub::Kind::Model, "org/tiny", &first[..10], tiny(&noise(10)));
    let short = get(&world.hub(), &format!("org/tiny@{}", &first[..10])).unwrap();
    assert_eq!(short.commit.as_ref(), Some(&first));
}

#[test]
fn mirrors_that_list_no_sizes_are_asked_file_by_file() {
    let world = World::new();
    let (weights, commit) = (noise(70_000), "0123456789".repeat(4));
    let listing = format!(
        r#"{{"sha": "{commit}", "siblings": [{{"rfilename": "model.safetensors"}}, {{"rfilename": "x"}}]}}"#
    );
    world.server.put("/files/mirror/api/models/org/tiny/revision/main", listing.into_bytes());
    let path = format!("/files/mirror/org/tiny/resolve/{commit}/model.safetensors");
    world.server.put(&path, weights.clone());
    world.server.fail("safetensors", Fault::Corrupt, 1);
    let endpoint = format!("{}/files/mirror", world.server.endpoint());
    let hub = Hub::new(Settings { endpoint, ..world.settings() }, Arc::default());
    let located = get(&hub, "org/tiny").unwrap();
    assert_eq!(std::fs::read(local(&located).join("model.safetensors")).unwrap(), weights);
    let methods: Vec<_> = world.requests("safetensors").into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["HEAD", "GET", "GET"]); // damage is noticed by the ETag, which is its hash
    // That it has no configuration is known from now on.
    assert_eq!(local(&get(&world.offline(), "org/tiny").unwrap()), local(&located));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let world = World::new();
    world.server.add_model("org/tiny", tiny(&noise(10)));
    std::fs::write(world.cache(), "a file").unwrap();
    let error = get(&world.hub(), "org/tiny").unwrap_err();
    let Error::Cache { path, .. } = &error else { panic!("{error}") };
    assert!(path.starts_with(world.cache()));
    assert!(error.hint().contains("HF_HUB_CACHE"));
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_fetched() {
    let world = World::new();
    let vast = loopback_hub::Content::with_zeros(vec![1], 1 << 50);
    world.server.add_model("org/vast", [("model.safetensors".to_owned(), vast)]);
    let error = get(&world.hub(), "org/vast").unwrap_err();
    let Error::DiskFull { needed, free: Some(free), .. } = &error else { panic!("{error}") };
    assert!(*needed == 1 << 50 && free < needed);
    assert!(error.hint().contains("--stream"));
    assert_eq!(world.server.sent(), 0);
}
