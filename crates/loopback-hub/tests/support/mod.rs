//! A client that hides nothing: requests over a plain socket.
#![allow(dead_code)] // no test file needs all of it

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use loopback_hub::LoopbackHub;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether fewer bytes came than the head promised.
    pub(crate) cut: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 200);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status, error code and message.
    pub(crate) fn error(&self) -> (u16, Option<&str>, Option<&str>) {
        (self.status, self.header("X-Error-Code"), self.header("X-Error-Message"))
    }
}

/// One request over a connection that may serve others.
pub(crate) fn request(stream: &mut TcpStream, method: &str, target: &str, headers: &[&str]) -> Answer {
    let headers: String = headers.iter().flat_map(|header| [header, "\r\n"]).collect();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: here\r\n{headers}\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new(), cut: false };
    let length = answer.header("Content-Length").unwrap().parse().unwrap();
    if method != "HEAD" {
        reader.take(length).read_to_end(&mut answer.body).unwrap();
        answer.cut = (answer.body.len() as u64) < length;
    }
    answer
}

pub(crate) fn get(hub: &LoopbackHub, target: &str) -> Answer {
    get_with(hub, target, &[])
}

pub(crate) fn get_with(hub: &LoopbackHub, target: &str, headers: &[&str]) -> Answer {
    request(&mut TcpStream::connect(hub.address()).unwrap(), "GET", target, headers)
}

/// Where a redirect leads: the path, and the host that it is on.
pub(crate) fn location(hub: &LoopbackHub, answer: &Answer) -> (String, String) {
    let location = answer.header("Location").unwrap();
    match location.strip_prefix("http://") {
        None => (location.to_owned(), hub.address().to_string()),
        Some(rest) => {
            let (host, path) = rest.split_once('/').unwrap();
            (format!("/{path}"), host.to_owned())
        }
    }
}

/// The IPv4 address of a host.
pub(crate) fn resolved(host: &str) -> SocketAddr {
    host.to_socket_addrs().unwrap().find(SocketAddr::is_ipv4).unwrap()
}

/// A model with a file in git and one in LFS, and a path into the content delivery network that serves the latter.
pub(crate) fn hub_with_model() -> (LoopbackHub, String, String) {
    let hub = LoopbackHub::start().unwrap();
    let files = [
        ("config.json".to_owned(), b"{\"model_type\": \"tiny\"}".to_vec()),
        ("model.safetensors".to_owned(), (0..100_000_u32).map(|i| (i % 251) as u8).collect()),
    ];
    let commit = hub.add_model("org/tiny", files);
    let resolved = get(&hub, "/org/tiny/resolve/main/model.safetensors");
    let (path, _) = location(&hub, &resolved);
    hub.forget_requests();
    (hub, commit, path)
}
