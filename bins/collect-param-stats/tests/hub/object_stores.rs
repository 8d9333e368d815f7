//! Models in object stores and on web servers, which go the same road as streamed ones.

use crate::compare;
use crate::online::Online;

#[test]
#[cfg(feature = "object-store")]
fn buckets_and_web_servers_are_read() {
    use crate::online::{assert_same_tables, csv_files, fixture};
    use crate::support::stderr;

    let online = Online::new();
    for (folder, model) in [("/s3/bucket/base", "pairs/neox/a"), ("/files/models/tuned", "pairs/neox/b")] {
        for (name, bytes) in fixture(model) {
            online.hub.put(&format!("{folder}/{name}"), bytes);
        }
    }
    let tuned = format!("{}/files/models/tuned", online.hub.endpoint());
    for (case, more) in [("given", None), ("streamed", Some("--stream"))] {
        let mut command = compare(&online, "s3://bucket/base", &tuned, &online.outdir(case));
        command.env("AWS_ENDPOINT", format!("{}/s3", online.hub.endpoint())).env("AWS_REGION", "here");
        command.envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")]);
        let output = command.args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_same_tables(&csv_files(&online.outdir(case)), &crate::tables_of_pair(&online));
    }
    assert!(online.cached().is_empty(), "{:?}", online.cached());
}

#[test]
fn urls_that_cannot_be_read_are_named() {
    let online = Online::new();
    let mut urls = vec![("url_of_unknown_kind", "ftp://host/model")];
    if cfg!(not(feature = "object-store")) {
        urls.push(("url_not_built", "s3://bucket/model"));
    }
    for (case, url) in urls {
        let output = compare(&online, url, url, &online.outdir(case)).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        insta::assert_snapshot!(case, online.redacted(&output));
        assert!(!online.outdir(case).exists(), "{case}: nothing is written");
    }
}
