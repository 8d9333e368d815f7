//! What the server does wrong when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use loopback_hub::Fault;

use support::{get, get_with, hub_with_model, location};

#[test]
fn faults_come_so_many_times_in_order_where_the_target_has_the_part() {
    let (hub, _, path) = hub_with_model();
    hub.fail("/cdn/", Fault::Status(503), 2);
    hub.fail("/cdn/", Fault::RetryAfter(429, 7), 1);
    assert_eq!(get(&hub, "/api/models/org/tiny").status, 200, "another path");
    let statuses: Vec<_> = (0..4).map(|_| get(&hub, &path)).collect();
    assert_eq!(statuses.iter().map(|answer| answer.status).collect::<Vec<_>>(), [503, 503, 429, 200]);
    assert_eq!(statuses[2].header("Retry-After"), Some("7"));
    hub.fail("/cdn/", Fault::Status(500), usize::MAX);
    assert!((0..3).all(|_| get(&hub, &path).status == 500));
    hub.heal();
    assert_eq!(get(&hub, &path).status, 200);
}

#[test]
fn a_body_is_cut_shortened_damaged_or_sent_whole() {
    let (hub, _, path) = hub_with_model();
    let whole = get(&hub, &path).body;
    for fault in [Fault::Drop { after: 1000 }, Fault::WrongLength, Fault::Corrupt, Fault::IgnoreRange] {
        hub.fail("model.safetensors", fault, 1);
    }
    let range = ["Range: bytes=0-9999"];
    // A redirect has no body to damage: the faults wait for the file.
    assert_eq!(get(&hub, "/org/tiny/resolve/main/model.safetensors").status, 302);
    let cut = get_with(&hub, &path, &range);
    assert_eq!((cut.status, cut.cut, &*cut.body), (206, true, &whole[..1000]));
    let short = get_with(&hub, &path, &range);
    assert_eq!((short.cut, &*short.body), (false, &whole[..5000]));
    assert_eq!(short.header("Content-Range"), Some("bytes 0-9999/100000"), "the head lies");
    let damaged = get_with(&hub, &path, &range).body;
    assert_eq!(damaged.len(), 10_000);
    let differing: Vec<_> = (0..10_000).filter(|&i| damaged[i] != whole[i]).collect();
    assert_eq!((differing, damaged[5000]), (vec![5000], !whole[5000]));
    let all = get_with(&hub, &path, &range);
    assert_eq!((all.status, all.body), (200, whole));
    assert_eq!(hub.sent(), 100_000 + 1000 + 5000 + 10_000 + 100_000);
}

#[test]
fn an_expired_signature_is_renewed_by_resolving_again() {
    let (hub, _, old) = hub_with_model();
    hub.fail("/cdn/", Fault::Expire, 1);
    assert_eq!(get(&hub, &old).status, 403);
    assert_eq!(get(&hub, &old).status, 403, "for good");
    let resolved = get(&hub, "/org/tiny/resolve/main/model.safetensors");
    assert_eq!(get(&hub, &location(&hub, &resolved).0).status, 200);
}

#[test]
fn a_delayed_answer_comes_in_the_end() {
    let (hub, _, path) = hub_with_model();
    hub.fail(&path, Fault::Delay(Duration::from_millis(50)), 1);
    let start = Instant::now();
    assert_eq!(get(&hub, &path).status, 200);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_server_that_is_dropped_ends_what_it_stalled_and_what_it_keeps_open() {
    let (hub, _, path) = hub_with_model();
    hub.fail("/api/", Fault::Stall, 1);
    hub.fail("/cdn/", Fault::StallAfter(5), 1);
    let address = hub.address();
    let ask = |target: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\n\r\n").unwrap();
        stream
    };
    let mut streams = [ask("/api/models/org/tiny"), ask(&path), TcpStream::connect(address).unwrap()];
    while hub.sent() < 5 || hub.requests().len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    streams[0].set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let error = streams[0].read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "no answer: {error}");
    streams[0].set_read_timeout(None).unwrap();

    let start = Instant::now();
    drop(hub);
    assert!(start.elapsed() < Duration::from_secs(5));
    let answers = streams.each_mut().map(|stream| {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer).unwrap_or_default()
    });
    assert!(answers[0].is_empty() && answers[2].is_empty());
    assert!(answers[1].ends_with(b"\r\n\r\n\x00\x01\x02\x03\x04"), "{answers:?}");
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
