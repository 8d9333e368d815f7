//! Data sets' Parquet files: where they are looked for, and that they are there for good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use hub::{DatasetFiles, Error, Hub};
use loopback_hub::{Fault, Kind};
use support::*;

fn get_split(hub: &Hub, config: &str, split: &str) -> Result<DatasetFiles, Error> {
    hub.dataset_files("org/set", None, config, split, &())
}

fn contents(files: &DatasetFiles) -> Vec<String> {
    files.files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn a_split_is_fetched_once_in_order_and_kept() {
    let world = World::new();
    let commit = world.server.add_dataset(
        "org/set",
        [
            file("bio/test-00001-of-00002.parquet", "second"),
            file("bio/test-00000-of-00002.parquet", "first"),
            file("bio/train-00000-of-00001.parquet", "other split"),
            file("cyber/test-00000-of-00001.parquet", "other configuration"),
            file("README.md", "text"),
        ],
    );
    let found = get_split(&world.hub(), "bio", "test").unwrap();
    assert_eq!(
        (found.commit.as_str(), contents(&found)),
        (commit.as_str(), vec!["first".into(), "second".into()])
    );
    assert_eq!(world.server.sent(), 11);
    assert!(found.files[0].starts_with(world.cache().join("datasets--org--set/snapshots").join(&commit)));

    world.server.forget_requests();
    assert_eq!(get_split(&world.hub(), "bio", "test").unwrap(), found);
    assert_eq!(get_split(&world.offline(), "bio", "test").unwrap(), found);
    assert!(world.server.requests().is_empty());
    let error = get_split(&world.offline(), "bio", "train").unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");

    // A file that was lost is fetched again, and no other.
    let lost = std::fs::canonicalize(&found.files[1]).unwrap();
    std::fs::remove_file(lost).unwrap();
    assert_eq!(get_split(&world.hub(), "bio", "test").unwrap(), found);
    assert_eq!(world.server.sent(), 6);
}

#[test]
fn what_the_hub_converted_comes_second() {
    let world = World::new();
    world.server.add_dataset("org/set", [file("data.csv", "a,b"), file("other/train.parquet", "x")]);
    let error = get_split(&world.hub(), "default", "train").unwrap_err();
    let Error::NoParquet { present, .. } = &error else { panic!("{error}") };
    assert_eq!(present, &["other/train"]);

    let files = [file("default/train/0001.parquet", "2"), file("default/train/0000.parquet", "1")];
    let commit = world.server.add_revision(Kind::Dataset, "org/set", "refs/convert/parquet", files);
    let found = get_split(&world.hub(), "default", "train").unwrap();
    assert_eq!((&found.commit, contents(&found)), (&commit, vec!["1".into(), "2".into()]));
    let reference = world.cache().join("datasets--org--set/refs/refs/convert/parquet");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), commit);
    assert_eq!(get_split(&world.offline(), "default", "train").unwrap(), found);

    let error = get_split(&world.hub(), "default", "test").unwrap_err();
    let Error::NoParquet { present, .. } = &error else { panic!("{error}") };
    assert_eq!(present, &["default/train", "other/train"]);
    assert!(error.to_string().contains("there are default/train, other/train"), "{error}");
    // A revision that was asked for is the only one.
    let at_main = world.hub().dataset_files("org/set", Some("main"), "default", "train", &());
    assert!(matches!(at_main, Err(Error::NoParquet { .. })));
}

#[test]
fn a_gated_set_says_what_to_do() {
    let world = World::new();
    world.server.add_dataset("org/set", [file("c/test-00000-of-00001.parquet", "x")]);
    world.server.gate("org/set");
    let error = get_split(&world.hub(), "c", "test").unwrap_err();
    let Error::Gated { page, with_token: false, .. } = &error else { panic!("{error}") };
    assert_eq!(*page, format!("{}/datasets/org/set", world.server.endpoint()));
    assert!(error.hint().contains("HF_TOKEN"));
    world.server.accept("org/set", "hf_accepted");
    let found = get_split(&world.hub_with_token("hf_accepted"), "c", "test").unwrap();
    assert_eq!(contents(&found), ["x"]);
}

#[test]
fn absent_sets_and_damage_are_told() {
    let world = World::new();
    let error = get_split(&world.hub(), "c", "test").unwrap_err();
    assert!(matches!(error, Error::NoSuchRepository { kind: "data set", .. }), "{error}");
    world.server.add_dataset("org/set", [file("c/test-00000-of-00001.parquet", "xyz")]);
    world.server.fail("/cdn/", Fault::Corrupt, usize::MAX);
    assert!(matches!(get_split(&world.hub(), "c", "test"), Err(Error::Damaged { .. })));
}
