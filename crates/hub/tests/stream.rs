//! Models are read where they are: every format as from disk, no more bytes than needed, nothing stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../weights-io/tests/conformance/mod.rs"]
mod conformance;
mod support;

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hub::{Error, Hub, Located, Place, Settings, Wanted};
use loopback_hub::{Content, Fault};
use support::*;
use weights_io::{Checkpoint, Source, Version};

/// A safetensors file with one matrix of bytes for each length.
fn safetensors(lengths: &[usize]) -> Vec<u8> {
    let mut end = 0;
    let entries = lengths.iter().enumerate().map(|(index, length)| {
        let start = end;
        end += length;
        format!(
            r#""layers.{index}.weight":{{"dtype":"U8","shape":[1,{length}],"data_offsets":[{start},{end}]}}"#
        )
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &noise(end)].concat()
}

/// Opens a weight file of a repository, whatever it is called.
fn source(located: &Located, name: &str) -> Box<dyn Source> {
    let Place::Remote(files) = &located.place else { panic!("it is local") };
    files.open(name).unwrap()
}

/// Opens a folder of fixtures, or a file in one, as a repository.
fn open_streamed(world: &World, hub: &Hub, path: &Path) -> Result<Checkpoint, weights_io::Error> {
    let (folder, file) =
        if path.is_dir() { (path, None) } else { (path.parent().unwrap(), path.file_name()) };
    let files = loopback_hub::folder_files(folder).unwrap();
    let size: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let id = id_of(folder);
    world.server.add_model(&id, files.clone());
    let place = match stream(hub, &id) {
        Ok(Located { place: Place::Remote(place), .. }) => place,
        // Its weight files have names of their own; one with a usual name makes it a model.
        Err(Error::NoWeights { .. }) if file.is_some() => {
            world.server.add_model(
                &format!("{id}-more"),
                [files, vec![support::file("model.safetensors", "")]].concat(),
            );
            let Place::Remote(place) = stream(hub, &format!("{id}-more")).unwrap().place else { panic!() };
            place
        }
        Err(Error::NoWeights { .. }) => {
            return Err(weights_io::Error::NoWeights { path: format!("hf://{id}").into() });
        }
        other => panic!("{other:?}"),
    };
    let before = world.server.sent();
    let checkpoint = Checkpoint::open_in(place, file.map(|name| name.to_str().unwrap()));
    assert!(world.server.sent() - before <= size, "{id}: opening it reads more than there is");
    checkpoint
}

fn id_of(folder: &Path) -> String {
    let mut parts = folder.iter().rev().map(|part| part.to_str().unwrap());
    let (name, kind) = (parts.next().unwrap(), parts.next().unwrap());
    format!("{kind}/{name}")
}

#[test]
fn every_format_is_read_as_from_disk() {
    let world = World::new();
    let hub = world.hub();
    conformance::formats(&|path| open_streamed(&world, &hub, path), false);
    conformance::hostile(&|path| open_streamed(&world, &hub, path), &|folder| {
        format!("hf://{}", id_of(folder)).into()
    });
    assert!(!world.cache().exists());
}

#[test]
fn only_headers_and_what_is_asked_for_is_fetched() {
    let world = World::new();
    let lengths = [3 << 20, 20 << 20, 5 << 20];
    let bytes = safetensors(&lengths);
    let commit = world.server.add_model("org/large", [file("model.safetensors", bytes.clone())]);
    let located = stream(&world.hub(), "org/large").unwrap();
    assert_eq!(located.commit, Some(commit));
    let checkpoint = located.open().unwrap();
    assert_eq!(checkpoint.path(), Path::new("hf://org/large"));
    assert_eq!(checkpoint.took(), Path::new("hf://org/large/model.safetensors"));
    assert!(matches!(checkpoint.shards()[0].version(), Version::Etag(etag) if etag.len() == 64));
    let opening = world.server.sent();
    assert!(opening <= 64 << 10, "{opening}");

    let tensor = checkpoint.get("layers.1.weight").unwrap();
    let start = bytes.len() - lengths[1] - lengths[2];
    assert_eq!(*checkpoint.view(tensor).unwrap().bytes, bytes[start..start + lengths[1]]);
    assert_eq!(world.server.sent() - opening, lengths[1] as u64);
    assert_eq!(world.requests("/cdn/").len(), 1 + 3); // the tensor in pieces of 8 MiB, at once
    assert_eq!(world.requests("/resolve/").iter().filter(|request| request.method == "GET").count(), 1);

    // Announced ahead: there when it is read, and not fetched again.
    let next = checkpoint.get("layers.2.weight").unwrap();
    checkpoint.will_need(next);
    let expected = opening + (lengths[1] + lengths[2]) as u64;
    wait_until(|| world.server.sent() == expected);
    assert_eq!(*checkpoint.view(next).unwrap().bytes, bytes[start + lengths[1]..]);
    assert_eq!(world.server.sent(), expected);
    checkpoint.give_back(next);
    assert!(!world.cache().exists(), "nothing is stored");
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_cached_is_not_streamed() {
    let world = World::new();
    world.server.add_model("org/tiny", fixture("formats/safetensors_sharded"));
    get(&world.hub(), "org/tiny").unwrap();
    assert!(matches!(stream(&world.hub(), "org/tiny").unwrap().place, Place::Local(_)));
}

#[test]
fn a_stream_stays_at_its_commit() {
    let world = World::new();
    let (first, second) = (safetensors(&[1000]), safetensors(&[2000]));
    world.server.add_model("org/moving", [file("model.safetensors", first.clone())]);
    let hub = world.hub();
    let located = stream(&hub, "org/moving").unwrap();
    world.server.add_model("org/moving", [file("model.safetensors", second)]);
    assert_eq!(*source(&located, "model.safetensors").read(0..first.len()).unwrap(), first);
    let again = stream(&hub, "org/moving").unwrap();
    assert_eq!(again.commit, located.commit);
    assert_eq!(source(&again, "model.safetensors").len(), first.len());
}

#[test]
fn faults_that_pass_are_got_over() {
    let world = World::new();
    let bytes = noise(3 << 20);
    world.server.add_model("org/noise", [file("model.safetensors", bytes.clone())]);
    let settings = Settings { timeout: Duration::from_millis(200), ..world.settings() };
    let located = stream(&Hub::new(settings, Arc::default()), "org/noise").unwrap();
    let file = source(&located, "model.safetensors");
    assert_eq!(*file.read(5..10).unwrap(), bytes[5..10]);
    for fault in [
        Fault::Drop { after: 100_000 },
        Fault::Status(503),
        Fault::RetryAfter(429, 0),
        Fault::Expire,
        Fault::WrongLength,
        Fault::StallAfter(50_000),
        Fault::Stall,
    ] {
        world.server.fail("/cdn/", fault, 2);
        assert_eq!(*file.read(1000..2 << 20).unwrap(), bytes[1000..2 << 20], "{fault:?}");
    }
}

/// The error of this crate that a read ended with.
fn error_of(result: std::io::Result<std::borrow::Cow<'_, [u8]>>) -> String {
    let error = result.unwrap_err();
    let inner = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    format!("{inner}; {:?}", inner.source().map(ToString::to_string))
}

#[test]
fn faults_that_stay_are_told() {
    let world = World::new();
    world.server.add_model("org/noise", [file("model.safetensors", noise(3 << 20))]);
    for (fault, message) in [
        (Fault::Status(500), "answered 500"),
        (Fault::IgnoreRange, "ignores ranges"),
        (Fault::WrongLength, "was asked for"),
        (Fault::Expire, "answered 403"),
        (Fault::Drop { after: 0 }, "cannot reach"),
    ] {
        let located = stream(&world.hub(), "org/noise").unwrap();
        let file = source(&located, "model.safetensors");
        world.server.fail("/cdn/", fault, usize::MAX);
        let error = error_of(file.read(1..100));
        assert!(error.contains(message), "{fault:?}: {error}");
        assert!(!error.contains("signature"), "{error}");
        // An error waits for the reader of what was announced.
        file.will_need(200..300);
        std::thread::sleep(Duration::from_millis(20));
        assert!(error_of(file.read(200..300)).contains(message));
        world.server.heal();
        assert_eq!(file.read(1..100).unwrap().len(), 99, "{fault:?}");
    }
    let located = stream(&world.hub(), "org/noise").unwrap();
    let file = source(&located, "model.safetensors");
    let kind = file.read(0..(3 << 20) + 1).unwrap_err().kind();
    assert_eq!(kind, std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn an_interruption_ends_a_read_at_once() {
    let world = World::new();
    world.server.add_model("org/noise", [file("model.safetensors", noise(3 << 20))]);
    let (hub, flag) = world.interruptible();
    let located = stream(&hub, "org/noise").unwrap();
    let file = source(&located, "model.safetensors");
    world.server.fail("/cdn/", Fault::Stall, usize::MAX);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            flag.store(true, Ordering::Relaxed);
        });
        assert!(error_of(file.read(0..100)).starts_with("interrupted"));
    });
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(matches!(stream(&hub, "org/noise"), Err(Error::Interrupted)));
}

#[test]
fn memory_is_bounded_however_much_is_announced() {
    const LENGTH: usize = 64 << 20;
    let world = World::new();
    world
        .server
        .add_model("org/vast", [("model.safetensors".to_owned(), Content::with_zeros(vec![1], LENGTH))]);
    let settings = Settings { read_ahead: 8 << 20, ..world.settings() };
    let hub = Hub::new(settings, Arc::new(AtomicBool::new(false)));
    let located = hub.locate(&"org/vast".into(), Wanted::default(), true, &()).unwrap();
    let file = source(&located, "model.safetensors");
    for start in (0..LENGTH).step_by(4 << 20) {
        file.will_need(start..start + (4 << 20));
    }
    // The first one, or the first two as one; which of the others are merged is a matter of time.
    wait_until(|| world.server.sent() >= 4 << 20);
    std::thread::sleep(Duration::from_millis(100));
    assert!(world.server.sent() <= 8 << 20, "no more before something is used");
    let last = file.read(LENGTH - (4 << 20)..LENGTH).unwrap(); // not held up by what is before it
    assert!(last.len() == 4 << 20 && last.iter().all(|byte| *byte == 0));
    for start in (0..LENGTH).step_by(4 << 20) {
        assert_eq!(file.read(start..start + (4 << 20)).unwrap().len(), 4 << 20);
    }
    // The last one was used up by the first read of it, and read anew.
    assert_eq!(world.server.sent(), LENGTH as u64 + (4 << 20));
}

#[test]
fn the_token_does_not_leave_the_hub() {
    let world = World::new();
    world
        .server
        .add_model("org/private", [file("model.safetensors", noise(1000)), file("config.json", "{}")]);
    world.server.require_token("org/private", "hf_secret");
    let hub = world.hub_with_token("hf_secret");
    let located = stream(&hub, "org/private").unwrap();
    assert_eq!(source(&located, "model.safetensors").read(0..1000).unwrap().len(), 1000);
    get(&hub, "org/private").unwrap();
    for request in world.server.requests() {
        let expected = (!request.path.starts_with("/cdn/")).then(|| "Bearer hf_secret".to_owned());
        assert_eq!(request.authorization, expected, "{}", request.path);
    }
}
