//! What the Hub refuses, and what stands in its way: each has an error of its own that names the way out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Error, Hub, Settings};
use loopback_hub::Fault;
use support::*;

fn tiny() -> [(String, Vec<u8>); 2] {
    [file("model.safetensors", noise(1000)), file("config.json", "{}")]
}

#[test]
fn repositories_and_revisions_that_are_not_there() {
    let world = World::new();
    world.server.add_model("org/tiny", tiny());
    world.server.add_model("org/secret", tiny());
    world.server.require_token("org/secret", "hf_mine");
    world.server.require_token("org/other", "hf_yours");
    // Without a token and with one, what may not be seen is not there.
    for hub in [world.hub(), world.hub_with_token("hf_yours")] {
        for reference in ["org/nothing", "org/secret"] {
            let error = get(&hub, reference).unwrap_err();
            assert!(matches!(error, Error::NoSuchRepository { kind: "model", .. }), "{reference}: {error}");
            assert!(error.hint().contains("HF_TOKEN"));
        }
    }
    assert!(get(&world.hub_with_token("hf_mine"), "org/secret").is_ok());
    let error = get(&world.hub(), "org/tiny@v9").unwrap_err();
    assert!(matches!(&error, Error::NoSuchRevision { revision, .. } if revision == "v9"), "{error}");
}

#[test]
fn a_token_that_is_not_valid() {
    let world = World::new();
    world.server.add_model("org/tiny", tiny());
    let error = get(&world.hub_with_token("expired"), "org/tiny").unwrap_err();
    assert!(matches!(error, Error::Token { .. }), "{error}");
    assert!(!format!("{error} {} {error:?}", error.hint()).contains("expired"));
}

#[test]
fn a_gated_model_names_the_page_of_its_licence() {
    let world = World::new();
    world.server.add_model("org/gated", tiny());
    world.server.gate("org/gated");
    world.server.add_model("org/mine", tiny());
    world.server.require_token("org/mine", "hf_stranger");
    for locate in [get, stream] {
        for (hub, known) in [(world.hub(), false), (world.hub_with_token("hf_stranger"), true)] {
            let error = locate(&hub, "org/gated").unwrap_err();
            let Error::Gated { page, with_token, .. } = &error else { panic!("{error}") };
            assert_eq!((page, *with_token), (&format!("{}/org/gated", world.server.endpoint()), known));
            assert_eq!(error.hint().contains("HF_TOKEN"), !known);
        }
    }
    world.server.accept("org/gated", "hf_stranger");
    assert!(get(&world.hub_with_token("hf_stranger"), "org/gated").is_ok());
}

#[test]
fn a_forbidden_file_is_not_asked_for_again() {
    let world = World::new();
    world.server.add_model("org/tiny", tiny());
    world.server.fail("/resolve/", Fault::Status(403), usize::MAX);
    let error = get(&world.hub(), "org/tiny").unwrap_err();
    assert!(matches!(error, Error::Status { status: 403, .. }), "{error}");
    assert!(world.requests("/resolve/").len() <= 2);
}

#[test]
fn a_renamed_repository_is_found() {
    let world = World::new();
    let commit = world.server.add_model("new/name", tiny());
    world.server.add_alias("old/name", "new/name");
    assert_eq!(get(&world.hub(), "old/name").unwrap().commit, Some(commit));
    assert!(stream(&world.hub(), "old/name@main").is_ok());
}

#[test]
fn a_network_that_is_not_there_is_told_soon() {
    let world = World::new();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{unused}"), "http://no-such-host.invalid".into()] {
        let settings = Settings { endpoint, pause: Duration::from_secs(5), ..world.settings() };
        let start = Instant::now();
        let error = get(&Hub::new(settings, Arc::default()), "org/tiny").unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(4), "{error:?} after {:?}", start.elapsed());
    }
    let settings = Settings { endpoint: "no address".into(), ..world.settings() };
    assert!(matches!(get(&Hub::new(settings, Arc::default()), "org/tiny"), Err(Error::Url { .. })));
}

/// Answers every request with this.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_login_page_in_place_of_the_hub_is_called_one() {
    let world = World::new();
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 6\r\n\r\n<html>";
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let circle = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    let strange = "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n{\"sha\": \"../../x\", \"siblings\": []}  ";
    for (answer, reason) in [
        (page, "a web page in place of data"),
        (text, "sent no listing"),
        (circle, "redirects in a circle"),
        (strange, "names no commit"),
    ] {
        let settings = Settings { endpoint: answering(answer), ..world.settings() };
        let error = get(&Hub::new(settings, Arc::default()), "org/tiny").unwrap_err();
        assert!(matches!(error, Error::Answer { .. }) && error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let world = World::new();
    let file = world.folder.path().join("ca.pem");
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let settings = Settings { certificates: Some(file.clone()), ..world.settings() };
        let error = get(&Hub::new(settings, Arc::default()), "org/tiny").unwrap_err();
        assert!(matches!(&error, Error::Certificates { path, .. } if *path == file), "{error}");
    }
}
