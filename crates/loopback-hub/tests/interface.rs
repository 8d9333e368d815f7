//! What the server promises as long as nothing fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use loopback_hub::{Content, Kind, LoopbackHub, folder_files};
use serde_json::json;

use support::{get, get_with, hub_with_model, location, request, resolved};

#[test]
fn a_description_has_the_commit_and_with_blobs_sizes_and_hashes_as_git_has_them() {
    let hub = LoopbackHub::start().unwrap();
    let commit = hub.add_model(
        "org/tiny",
        [("README.md".to_owned(), b"hello\n".to_vec()), ("model.bin".to_owned(), b"hello\n".to_vec())],
    );
    let plain = get(&hub, "/api/models/org/tiny").json();
    assert_eq!(plain["sha"], json!(commit));
    assert_eq!((commit.len(), &plain["private"], &plain["gated"]), (40, &json!(false), &json!(false)));
    assert_eq!(plain["siblings"], json!([{ "rfilename": "README.md" }, { "rfilename": "model.bin" }]));

    // `git hash-object` of hello, `sha256sum` of it, and `git hash-object` of its pointer.
    let blob = "ce013625030ba8dba906f756967f9e9ca394464a";
    let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    let with_blobs = get(&hub, &format!("/api/models/org/tiny/revision/{commit}?blobs=true")).json();
    assert_eq!(with_blobs["siblings"][0], json!({ "rfilename": "README.md", "blobId": blob, "size": 6 }));
    let pointer = with_blobs["siblings"][1]["blobId"].clone();
    assert_eq!(
        with_blobs["siblings"][1],
        json!({ "rfilename": "model.bin", "blobId": pointer, "size": 6,
                "lfs": { "sha256": sha256, "size": 6, "pointerSize": 126 } })
    );
    assert_ne!(pointer, json!(blob));

    let tree = get(&hub, "/api/models/org/tiny/tree/main?recursive=true").json();
    assert_eq!(tree[0], json!({ "type": "file", "oid": blob, "size": 6, "path": "README.md" }));
    assert_eq!(tree[1]["lfs"]["oid"], json!(sha256));
}

#[test]
fn a_file_in_git_is_a_relative_redirect_to_this_host() {
    let (hub, commit, _) = hub_with_model();
    let mut stream = TcpStream::connect(hub.address()).unwrap();
    let redirect = request(&mut stream, "HEAD", "/org/tiny/resolve/main/config.json", &[]);
    assert_eq!((redirect.status, redirect.header("X-Repo-Commit")), (307, Some(commit.as_str())));
    let (path, _) = location(&hub, &redirect);
    // Both over the connection that is open already.
    let file = request(&mut stream, "GET", &path, &[]);
    assert_eq!((file.status, file.body.as_slice()), (200, b"{\"model_type\": \"tiny\"}".as_slice()));
    assert_eq!(file.header("ETag"), redirect.header("X-Linked-Etag"));
    assert_eq!(file.header("X-Repo-Commit"), Some(commit.as_str()));
    assert_eq!(request(&mut stream, "GET", &path, &["Range: bytes=0-0"]).body, b"{");
    assert_eq!(hub.sent(), 23, "heads and redirects do not count");
}

#[test]
fn a_file_in_lfs_is_a_redirect_to_another_host_that_refuses_tokens() {
    let (hub, commit, _) = hub_with_model();
    let redirect = get(&hub, "/org/tiny/resolve/main/model.safetensors");
    assert_eq!(redirect.status, 302);
    assert_eq!(redirect.header("X-Repo-Commit"), Some(commit.as_str()));
    assert_eq!(redirect.header("X-Linked-Size"), Some("100000"));
    assert_ne!(redirect.header("Content-Length"), Some("100000"), "the redirect has a body of its own");
    let sha256 = redirect.header("X-Linked-Etag").unwrap().trim_matches('"');
    assert_eq!(sha256.len(), 64);

    let (path, host) = location(&hub, &redirect);
    assert!(host.starts_with("localhost:") && path.contains(sha256), "{host}{path}");
    let mut stream = TcpStream::connect(resolved(&host)).unwrap();
    let file = request(&mut stream, "GET", &path, &[]);
    assert_eq!((file.status, file.body.len()), (200, 100_000));
    assert_ne!(file.header("ETag").unwrap().trim_matches('"'), sha256, "the network has ETags of its own");
    assert_eq!(file.header("X-Repo-Commit"), None);
    let with_token = request(&mut stream, "GET", &path, &["Authorization: Bearer hf_secret"]);
    assert_eq!(with_token.status, 400);
    assert_eq!(request(&mut stream, "GET", path.split('?').next().unwrap(), &[]).status, 403, "unsigned");
}

#[test]
fn ranges_are_single_inclusive_and_within_the_file() {
    let (hub, _, path) = hub_with_model();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=99990-", 99_990, 99_999),
        ("bytes=99990-200000", 99_990, 99_999),
        ("bytes=-5", 99_995, 99_999),
        ("bytes=-200000", 0, 99_999),
    ] {
        let part = get_with(&hub, &path, &[&format!("Range: {range}")]);
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("Content-Range"), Some(format!("bytes {first}-{last}/100000").as_str()));
        let expected: Vec<u8> = (first..=last).map(|i| (i % 251) as u8).collect();
        assert_eq!(part.body, expected, "{range}");
    }
    for range in ["bytes=100000-", "bytes=100000-100001", "bytes=-0"] {
        let beyond = get_with(&hub, &path, &[&format!("Range: {range}")]);
        assert_eq!((beyond.status, beyond.header("Content-Range")), (416, Some("bytes */100000")), "{range}");
    }
    for range in ["bytes=0-1,5-6", "bytes=5-4", "bytes=a-b", "lines=0-1", "bytes=-"] {
        assert_eq!(get_with(&hub, &path, &[&format!("Range: {range}")]).status, 200, "{range} is ignored");
    }
}

#[test]
fn revisions_are_branches_commits_and_references_with_slashes() {
    let hub = LoopbackHub::start().unwrap();
    let file = |text: &str| [("deep/a b.txt".to_owned(), text.as_bytes().to_vec())];
    let first = hub.add_dataset("org/data", file("first"));
    let second = hub.add_revision(Kind::Dataset, "org/data", "main", file("second"));
    let converted = hub.add_revision(Kind::Dataset, "org/data", "refs/convert/parquet", file("converted"));
    for (revision, commit, text) in [
        ("main", &second, "second"),
        (first.as_str(), &first, "first"),
        ("refs%2Fconvert%2Fparquet", &converted, "converted"),
        ("refs/convert/parquet", &converted, "converted"),
    ] {
        let described = get(&hub, &format!("/api/datasets/org/data/revision/{revision}")).json();
        assert_eq!(described["sha"], json!(commit), "{revision}");
        let redirect = get(&hub, &format!("/datasets/org/data/resolve/{revision}/deep/a%20b.txt"));
        let (path, _) = location(&hub, &redirect);
        assert_eq!(get(&hub, &path).body, text.as_bytes(), "{revision}");
    }
    assert_eq!(get(&hub, "/api/models/org/data").status, 401, "a data set is no model");
}

#[test]
fn errors_are_worded_as_on_the_hub() {
    let (hub, commit, _) = hub_with_model();
    let token = "Authorization: Bearer hf_mine";
    assert_eq!(
        get(&hub, "/org/tiny/resolve/nowhere/config.json").error(),
        (404, Some("RevisionNotFound"), Some("Invalid rev id: nowhere"))
    );
    assert_eq!(get(&hub, "/api/models/org/tiny/revision/nowhere").status, 404);
    let missing = get(&hub, "/org/tiny/resolve/main/nothing.json");
    assert_eq!(missing.error(), (404, Some("EntryNotFound"), Some("Entry not found")));
    assert_eq!(missing.header("X-Repo-Commit"), Some(commit.as_str()));
    for path in ["/org/none/resolve/main/config.json", "/api/models/org/none"] {
        assert_eq!(get(&hub, path).error(), (401, None, Some("Invalid username or password.")), "{path}");
        let known = get_with(&hub, path, &[token]);
        assert_eq!(known.error(), (404, Some("RepoNotFound"), Some("Repository not found")), "{path}");
    }
    let invalid = get_with(&hub, "/api/models/org/tiny", &["Authorization: Bearer nonsense"]);
    assert_eq!(invalid.error(), (401, None, Some("Invalid credentials in Authorization header")));
    assert_eq!(get(&hub, "/no/page").status, 404);
}

#[test]
fn a_private_repository_is_there_for_its_token_only() {
    let (hub, _, _) = hub_with_model();
    hub.require_token("org/tiny", "mine");
    let path = "/org/tiny/resolve/main/config.json";
    assert_eq!(get(&hub, path).status, 401);
    assert_eq!(get_with(&hub, path, &["Authorization: Bearer hf_other"]).status, 404);
    let redirect = get_with(&hub, path, &["Authorization: Bearer mine"]);
    assert_eq!(redirect.status, 307);
    let (path, _) = location(&hub, &redirect);
    assert_eq!(get(&hub, &path).status, 401, "the redirect on this host needs the token too");
    assert_eq!(get_with(&hub, &path, &["Authorization: Bearer mine"]).status, 200);
}

#[test]
fn of_a_gated_repository_only_the_description_is_public() {
    let (hub, _, _) = hub_with_model();
    hub.gate("org/tiny");
    hub.accept("org/tiny", "hf_accepted");
    assert_eq!(get(&hub, "/api/models/org/tiny").json()["gated"], json!("auto"));
    let path = "/org/tiny/resolve/main/model.safetensors";
    let (status, code, message) = (401, Some("GatedRepo"), get(&hub, path));
    assert_eq!((message.status, message.header("X-Error-Code")), (status, code));
    assert!(message.header("X-Error-Message").unwrap().ends_with("Please log in."));
    let other = get_with(&hub, path, &["Authorization: Bearer hf_other"]);
    assert_eq!((other.status, other.header("X-Error-Code")), (403, code));
    assert!(other.header("X-Error-Message").unwrap().contains("not in the authorized list"));
    assert_eq!(get_with(&hub, path, &["Authorization: Bearer hf_accepted"]).status, 302);
}

#[test]
fn a_renamed_repository_is_redirected() {
    let (hub, commit, _) = hub_with_model();
    hub.add_alias("tiny", "org/tiny");
    let redirect = get(&hub, "/api/models/tiny/revision/main?blobs=true");
    assert_eq!(redirect.header("Location"), Some("/api/models/org/tiny/revision/main?blobs=true"));
    let redirect = get(&hub, "/tiny/resolve/main/config.json");
    let (path, _) = location(&hub, &redirect);
    assert_eq!(get(&hub, &path).header("X-Repo-Commit"), Some(commit.as_str()));
}

#[test]
fn objects_outside_of_repositories_have_ranges_and_etags() {
    let hub = LoopbackHub::start().unwrap();
    hub.put("/s3/bucket/a/b.bin", b"0123456789".to_vec());
    hub.put("/files/c d.txt", b"text".to_vec());
    let part = get_with(&hub, "/s3/bucket/a/b.bin", &["Range: bytes=2-4", "Authorization: AWS4 something"]);
    assert_eq!((part.status, part.body.as_slice()), (206, b"234".as_slice()));
    assert!(part.header("Last-Modified").is_some());
    assert_eq!(get(&hub, "/files/c%20d.txt").body, b"text");
    assert_eq!(get(&hub, "/s3/bucket/none").status, 404);
    let etag = part.header("ETag").unwrap();
    hub.put("/s3/bucket/a/b.bin", b"changed".to_vec());
    assert_eq!(get_with(&hub, "/s3/bucket/a/b.bin", &[&format!("If-Match: {etag}")]).status, 412);
    let mut stream = TcpStream::connect(hub.address()).unwrap();
    let head = request(&mut stream, "HEAD", "/s3/bucket/a/b.bin", &[]);
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("7")));
    assert_eq!(request(&mut stream, "PUT", "/s3/bucket/new", &["Content-Length: 0"]).status, 405);
}

#[test]
fn a_file_of_a_terabyte_takes_no_memory() {
    let hub = LoopbackHub::start().unwrap();
    let content = Content::with_zeros(b"head".to_vec(), 1 << 40);
    hub.add_model("org/vast", [("model.safetensors".to_owned(), content)]);
    let redirect = get(&hub, "/org/vast/resolve/main/model.safetensors");
    assert_eq!(redirect.header("X-Linked-Size"), Some("1099511627776"));
    let (path, _) = location(&hub, &redirect);
    for (range, bytes) in
        [("0-1", &b"he"[..]), ("2-5", b"ad\0\0"), ("1099511627774-", b"\0\0"), ("9-10", b"\0\0")]
    {
        assert_eq!(get_with(&hub, &path, &[&format!("Range: bytes={range}")]).body, bytes, "{range}");
    }
}

#[test]
fn requests_are_told_as_they_came_in() {
    let (hub, _, path) = hub_with_model();
    get_with(&hub, &path, &["Range: bytes=10-19"]);
    get_with(&hub, "/api/models/org/tiny", &["Authorization: Bearer hf_mine"]);
    let [first, second] = hub.requests().try_into().unwrap();
    assert_eq!((first.method.as_str(), first.path, first.range), ("GET", path, Some((10, 19))));
    assert_eq!((first.authorization, first.status, first.sent), (None, 206, 10));
    assert_eq!(second.authorization.as_deref(), Some("Bearer hf_mine"));
    assert_eq!((second.range, second.status, second.sent), (None, 200, 0));
    assert_eq!(hub.sent(), 10);
}

#[test]
fn garbage_gets_400_and_harms_nobody() {
    let (hub, _, _) = hub_with_model();
    for garbage in
        [&b"\0\xff\xfe nonsense\r\n\r\n"[..], b"GET\r\n\r\n", &b"a".repeat(100_000), b"GET / HTTP/1.1\r\nA"]
    {
        let mut stream = TcpStream::connect(hub.address()).unwrap();
        let _ = stream.write_all(garbage); // the server may have hung up before the end
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    }
    for target in
        ["/", "//", "*", "/%", "/%ff/%00", "/api", "/api/models", "/cdn/", "/resolve", "/datasets/resolve"]
    {
        assert!(get(&hub, target).status >= 400, "{target}");
    }
    assert_eq!(get(&hub, "/api/models/org/tiny").status, 200);
}

#[test]
fn the_files_of_a_folder_have_relative_names() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let files = folder_files(std::path::Path::new(folder).parent().unwrap()).unwrap();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"Cargo.toml") && names.contains(&"src/lib.rs"), "{names:?}");
    assert!(names.is_sorted());
}
