//! Models in object stores and on web servers go the same road as streamed ones.
#![cfg(feature = "object-store")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../weights-io/tests/conformance/mod.rs"]
mod conformance;
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hub::{Error, Hub, Place, Settings};
use loopback_hub::Fault;
use support::*;
use weights_io::{Checkpoint, Source};

/// Puts the files of a folder at a path.
fn put(world: &World, path: &str, folder: &Path) {
    for (name, bytes) in loopback_hub::folder_files(folder).unwrap() {
        world.server.put(&format!("{path}/{name}"), bytes);
    }
}

fn source(hub: &Hub, url: &str, name: &str) -> Box<dyn Source> {
    let Place::Remote(files) = get(hub, url).unwrap().place else { panic!("it is local") };
    files.open(name).unwrap()
}

#[test]
fn every_format_is_read_from_a_web_server() {
    let world = World::new();
    let hub = world.hub();
    let url_of = |path: &Path| {
        let below = path.strip_prefix(fixture_folder("").canonicalize().unwrap());
        let below = below.or_else(|_| path.strip_prefix(fixture_folder(""))).unwrap();
        format!("{}/files/{}", world.server.endpoint(), below.display())
    };
    let open = |path: &Path| {
        let folder = if path.is_dir() { path } else { path.parent().unwrap() };
        let below = url_of(folder);
        put(&world, below.strip_prefix(&world.server.endpoint()).unwrap(), folder);
        match get(&hub, &url_of(path)) {
            Err(Error::NoWeights { place }) => Err(weights_io::Error::NoWeights { path: place.into() }),
            located => located.unwrap().open(),
        }
    };
    conformance::formats(&open, false);
    conformance::hostile(&open, &|folder| url_of(folder).into());
    assert!(!world.cache().exists());
}

#[test]
fn only_what_is_asked_for_is_fetched() {
    let world = World::new();
    let bytes = noise(3 << 20);
    world.server.put("/files/a%20folder/model.safetensors", bytes.clone());
    world.server.put("/files/a folder/model.safetensors", bytes.clone());
    let url = format!("{}/files/a folder", world.server.endpoint());
    let file = source(&world.hub(), &url, "model.safetensors");
    assert_eq!(file.path(), Path::new(&url).join("model.safetensors"));
    assert_eq!(file.len(), bytes.len());
    assert_eq!(*file.read(1000..2000).unwrap(), bytes[1000..2000]);
    assert_eq!(world.server.sent(), 1000);
    for fault in [Fault::Status(503), Fault::Drop { after: 10 }, Fault::RetryAfter(429, 0)] {
        world.server.fail("/files/", fault, 1);
        assert_eq!(*file.read(5..9).unwrap(), bytes[5..9], "{fault:?}");
    }
    world.server.fail("/files/", Fault::IgnoreRange, usize::MAX);
    assert!(file.read(5..9).is_err());
    world.server.heal();
    // Another file under the same name is not read as if it were this one.
    world.server.put("/files/a folder/model.safetensors", noise(4 << 20)[1 << 20..].to_vec());
    assert!(file.read(5..9).is_err());
}

#[test]
fn urls_without_a_model_are_refused() {
    let world = World::new();
    let hub = world.hub();
    let endpoint = world.server.endpoint();
    world.server.put("/files/some/text/README.md", b"x".to_vec());
    let error = |url: &str| get(&hub, url).unwrap_err();
    assert!(matches!(error(&format!("{endpoint}/files/some/text")), Error::NoWeights { .. }));
    let absent = error(&format!("{endpoint}/files/some/text/model.bin"));
    assert!(matches!(&absent, Error::NoSuchFile { file, .. } if file == "model.bin"), "{absent}");
    for url in ["ftp://host/model", "https://host/model?key=1", "https:///model", "s3://"] {
        assert!(matches!(error(url), Error::Url { .. }), "{url}: {}", error(url));
    }
    world.server.fail("/files/some/secret", Fault::Status(403), usize::MAX);
    let refused = error(&format!("{endpoint}/files/some/secret"));
    assert!(matches!(refused, Error::Store { .. }), "{refused}");
    let offline = get(&world.offline(), "https://host/model").unwrap_err();
    assert!(matches!(offline, Error::Offline { .. }), "{offline}");
}

#[test]
fn a_page_of_the_hub_is_its_model() {
    let world = World::new();
    let commit = world.server.add_model("org/tiny", [file("model.safetensors", "x")]);
    for page in ["org/tiny", "org/tiny/", "org/tiny/tree/main"] {
        let located = get(&world.hub(), &format!("{}/{page}", world.server.endpoint())).unwrap();
        assert_eq!(located.commit.as_ref(), Some(&commit));
    }
}

/// Runs as a process of its own, with credentials in its environment, by the test below.
#[test]
fn in_a_process_with_credentials() {
    let Some(url) = std::env::var_os("MODEL_IN_A_BUCKET") else { return };
    let settings = Settings::from_environment(|name| std::env::var_os(name));
    let located = get(&Hub::new(settings, Arc::default()), url.to_str().unwrap()).unwrap();
    let checkpoint = located.open().unwrap();
    let local = Checkpoint::open(fixture_folder("formats/safetensors_sharded")).unwrap();
    assert_eq!(checkpoint.tensors().len(), local.tensors().len());
    for (ours, theirs) in checkpoint.tensors().iter().zip(local.tensors()) {
        assert_eq!(checkpoint.view(ours).unwrap().bytes, local.view(theirs).unwrap().bytes);
    }
}

#[test]
fn buckets_are_read_with_the_credentials_of_the_environment() {
    let world = World::new();
    put(&world, "/s3/bucket/models/tiny", &fixture_folder("formats/safetensors_sharded"));
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_process_with_credentials"])
        .env("MODEL_IN_A_BUCKET", "s3://bucket/models/tiny")
        .env("AWS_ENDPOINT", format!("{}/s3", world.server.endpoint()))
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", "key")
        .env("AWS_REGION", "here")
        .env("HF_HUB_CACHE", world.cache())
        .status();
    assert!(status.unwrap().success());
    let requests = world.requests("/s3/bucket/models/tiny/");
    assert!(requests.len() > 3);
    for request in requests {
        let signature = request.authorization.unwrap_or_default();
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=id/"), "{signature}");
    }
    assert!(!world.cache().exists());
}
