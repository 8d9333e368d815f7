//! The cache that Python's library shares: what it holds is used as it is, and only if it is whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hub::{Error, Hub, ModelReference, Wanted};
use support::*;

const COMMIT: &str = "aaaabbbbccccddddeeeeffff0000111122223333";

/// A snapshot as Python's library leaves one: blobs by their tags, and links to them.
fn made_by_python(world: &World, id: &str, files: &[(String, Vec<u8>)]) -> PathBuf {
    let repository = world.model(id);
    let snapshot = repository.join("snapshots").join(COMMIT);
    for folder in ["blobs", "refs"] {
        std::fs::create_dir_all(repository.join(folder)).unwrap();
    }
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::write(repository.join("refs/main"), COMMIT).unwrap();
    for (index, (name, bytes)) in files.iter().enumerate() {
        let etag = format!("{index:040}");
        std::fs::write(repository.join("blobs").join(&etag), bytes).unwrap();
        symlink(Path::new("../../blobs").join(etag), snapshot.join(name)).unwrap();
    }
    snapshot
}

fn with_tokenizer(hub: &Hub, id: &str) -> Result<PathBuf, Error> {
    let located = hub.locate(&ModelReference::from(id), Wanted { tokenizer: true }, false, &())?;
    Ok(local(&located).to_owned())
}

fn missing(error: &Error) -> &str {
    let Error::Offline { missing, .. } = error else { panic!("{error}") };
    missing
}

#[test]
fn a_cache_made_by_python_is_used_without_a_request() {
    let world = World::new();
    let mut files = fixture("formats/safetensors_sharded");
    files.push(file("config.json", "{}"));
    let snapshot = made_by_python(&world, "org/sharded", &files);
    let located = get(&world.hub(), "org/sharded").unwrap();
    assert_eq!((local(&located), located.commit.as_deref()), (&*snapshot, Some(COMMIT)));
    assert!(located.open().unwrap().tensors().len() > 1);
    assert_eq!(local(&get(&world.offline(), &format!("org/sharded@{COMMIT}")).unwrap()), snapshot);
    assert!(world.server.requests().is_empty());

    // It lacks the tokenizer, unless it is noted that there is none.
    assert_eq!(missing(&with_tokenizer(&world.offline(), "org/sharded").unwrap_err()), "its tokenizer.json");
    let absent = world.model("org/sharded").join(".no_exist").join(COMMIT);
    std::fs::create_dir_all(&absent).unwrap();
    File::create(absent.join("tokenizer.json")).unwrap();
    assert_eq!(with_tokenizer(&world.offline(), "org/sharded").unwrap(), snapshot);
}

#[test]
fn weights_that_are_not_whole_do_not_count() {
    let world = World::new();
    let files = fixture("formats/safetensors_sharded");
    let snapshot = made_by_python(&world, "org/sharded", &files);
    assert_eq!(local(&get(&world.offline(), "org/sharded").unwrap()), snapshot); // without a configuration
    let shard = files.iter().find(|(name, _)| name.ends_with(".safetensors")).unwrap();
    let blob = std::fs::canonicalize(snapshot.join(&shard.0)).unwrap();
    std::fs::remove_file(blob).unwrap();
    assert_eq!(missing(&get(&world.offline(), "org/sharded").unwrap_err()), "its weights");
    std::fs::remove_file(snapshot.join(&shard.0)).unwrap();
    assert_eq!(missing(&get(&world.offline(), "org/sharded").unwrap_err()), "its weights");
    assert_eq!(missing(&get(&world.offline(), "org/unknown").unwrap_err()), "its weights");
}

#[test]
fn what_is_missing_comes_from_the_commit_that_is_there() {
    let world = World::new();
    let tokenizer = file("tokenizer.json", "{\"version\": 1}");
    let old = [file("model.safetensors", noise(5000)), file("config.json", "{}"), tokenizer.clone()];
    let commit = world.server.add_model("org/moved", old);
    get(&world.hub(), "org/moved").unwrap();
    world.server.add_model("org/moved", [file("model.safetensors", noise(6000)), file("config.json", "{}")]);
    world.server.forget_requests();
    let snapshot = with_tokenizer(&world.hub(), "org/moved").unwrap();
    assert!(snapshot.ends_with(commit));
    assert_eq!(std::fs::read(snapshot.join("tokenizer.json")).unwrap(), tokenizer.1);
    assert_eq!(world.server.sent(), tokenizer.1.len() as u64);
}

#[test]
fn a_cache_that_is_read_only_serves_what_it_has() {
    let world = World::new();
    let snapshot =
        made_by_python(&world, "org/tiny", &[file("model.safetensors", "x"), file("config.json", "{}")]);
    let folders = || [world.cache(), world.model("org/tiny")];
    let set = |mode| {
        for folder in folders() {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    // The superuser may write all the same, so it is looked whether anything was.
    let entries = || folders().map(|folder| std::fs::read_dir(folder).unwrap().count());
    let before = entries();
    set(0o555);
    assert_eq!(local(&get(&world.hub(), "org/tiny").unwrap()), snapshot);
    set(0o755);
    assert_eq!(entries(), before);
}

#[test]
fn references_that_lead_out_of_the_cache_are_nothing() {
    let world = World::new();
    made_by_python(&world, "org/tiny", &[file("model.safetensors", "x")]);
    std::fs::write(world.model("org/tiny").join("refs/main"), "../../elsewhere").unwrap();
    assert_eq!(missing(&get(&world.offline(), "org/tiny").unwrap_err()), "its weights");
}

#[test]
fn a_lock_that_is_held_is_waited_for() {
    let world = World::new();
    world.server.add_model("org/tiny", [file("model.safetensors", noise(1000)), file("config.json", "{}")]);
    get(&world.hub(), "org/tiny").unwrap();
    let locks: Vec<_> = std::fs::read_dir(world.cache().join(".locks/models--org--tiny"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(locks.len(), 2);
    for blob in std::fs::read_dir(world.model("org/tiny").join("blobs")).unwrap() {
        std::fs::remove_file(blob.unwrap().path()).unwrap();
    }
    let held: Vec<File> = locks.iter().map(|path| File::open(path).unwrap()).collect();
    for lock in &held {
        lock.lock().unwrap();
    }
    let ear = Ear::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while ear.waiting.lock().unwrap().len() < 2 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(100));
            assert!(ear.finished.lock().unwrap().is_empty());
            drop(held);
        });
        world.hub().locate(&"org/tiny".into(), Wanted::default(), false, &ear).unwrap();
    });
    assert_eq!(ear.waiting.lock().unwrap().len(), 2); // once for each file
    assert_eq!(ear.finished.lock().unwrap().len(), 2);
}

/// Runs as a process of its own, by the test below.
#[test]
fn one_of_two_processes() {
    let Some(endpoint) = std::env::var_os("ONE_OF_TWO_PROCESSES") else { return };
    let mut settings = hub::Settings::from_environment(|name| std::env::var_os(name));
    settings.endpoint = endpoint.into_string().unwrap();
    get(&Hub::new(settings, std::sync::Arc::default()), "org/tiny").unwrap();
}

#[test]
fn two_processes_fetch_everything_once() {
    let world = World::new();
    world
        .server
        .add_model("org/tiny", [file("model.safetensors", noise(1 << 20)), file("config.json", "{}")]);
    world.server.fail("/cdn/", loopback_hub::Fault::Delay(Duration::from_millis(500)), 1);
    let begin = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_of_two_processes"])
            .env("ONE_OF_TWO_PROCESSES", world.server.endpoint())
            .env("HF_HUB_CACHE", world.cache())
            .env_remove("HF_TOKEN")
            .spawn()
            .unwrap()
    };
    for mut process in [begin(), begin()] {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(world.server.sent(), (1 << 20) + 2);
    assert!(get(&world.offline(), "org/tiny").is_ok());
}
