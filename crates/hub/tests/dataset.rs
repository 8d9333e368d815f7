//! Data sets' Parquet files: where they are looked for, that no more are fetched than are wanted, and that they are there
//! for good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use std::path::PathBuf;

use hub::{DatasetFiles, Error, Hub};
use loopback_hub::{Fault, Kind};
use support::*;

fn find(hub: &Hub, config: &str, split: &str) -> Result<DatasetFiles, Error> {
    hub.dataset_files("org/set", None, config, split, &())
}

/// The commit, and all files, in the cache.
fn get_split(hub: &Hub, config: &str, split: &str) -> Result<(String, Vec<PathBuf>), Error> {
    let found = find(hub, config, split)?;
    let files = hub.fetch_dataset_files(&found, 0..usize::MAX, &())?;
    Ok((found.commit, files))
}

fn contents(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// What the cache lacks.
fn lacks<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    let Error::Offline { missing, .. } = error else { panic!("{error}") };
    missing
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
    assert_eq!((&found.0, contents(&found.1)), (&commit, vec!["first".into(), "second".into()]));
    assert_eq!(world.server.sent(), 11);
    assert!(found.1[0].starts_with(world.cache().join("datasets--org--set/snapshots").join(&commit)));

    world.server.forget_requests();
    assert_eq!(get_split(&world.hub(), "bio", "test").unwrap(), found);
    assert_eq!(get_split(&world.offline(), "bio", "test").unwrap(), found);
    assert!(world.server.requests().is_empty());
    let missing = lacks(find(&world.offline(), "bio", "train"));
    assert_eq!(missing, "Parquet of configuration `bio`, split `train`");

    // A file that was lost is fetched again, and no other.
    let lost = std::fs::canonicalize(&found.1[1]).unwrap();
    std::fs::remove_file(lost).unwrap();
    assert_eq!(get_split(&world.hub(), "bio", "test").unwrap(), found);
    assert_eq!(world.server.sent(), 6);
}

#[test]
fn no_more_is_fetched_than_is_wanted() {
    let world = World::new();
    let name = |number: usize| format!("c/train-{number:05}-of-00004.parquet");
    world.server.add_dataset("org/set", (0..4).map(|number| file(&name(number), format!("{number}"))));
    let hub = world.hub();
    let found = find(&hub, "c", "train").unwrap();
    assert_eq!(found.names, [0, 1, 2, 3].map(name));
    assert!(found.may_have(3) && !found.may_have(4));
    let requests: Vec<_> = world.server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(requests, ["/api/datasets/org/set/revision/main?blobs=true"]);
    assert!(!world.cache().exists());

    let fetch = |which| contents(&hub.fetch_dataset_files(&found, which, &()).unwrap());
    assert_eq!((fetch(0..1), world.server.sent()), (vec!["0".into()], 1));
    let reference = world.cache().join("datasets--org--set/refs/main");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), found.commit);
    world.server.forget_requests();
    assert_eq!((fetch(0..1), fetch(4..9)), (vec!["0".into()], vec![]));
    assert_eq!(world.server.requests(), []);
    assert_eq!((fetch(0..2), world.server.sent()), (vec!["0".into(), "1".into()], 1));
    assert_eq!((fetch(3..4), world.server.sent()), (vec!["3".into()], 2));

    // Without the network there is what comes before the first gap, and no end.
    world.server.forget_requests();
    let offline = world.offline();
    let known = find(&offline, "c", "train").unwrap();
    assert_eq!((&known.commit, &known.names[..]), (&found.commit, &[0, 1].map(name)[..]));
    assert!(known.may_have(2));
    assert_eq!(contents(&offline.fetch_dataset_files(&known, 1..2, &()).unwrap()), ["1"]);
    for which in [2..3, 0..usize::MAX] {
        let missing = lacks(offline.fetch_dataset_files(&known, which, &()));
        assert_eq!(missing, format!("Parquet of configuration `c`, split `train` after {}", name(1)));
    }
    assert_eq!(world.server.requests(), []);

    assert_eq!((fetch(0..usize::MAX).len(), world.server.sent()), (4, 1));
    assert!(!find(&offline, "c", "train").unwrap().may_have(4));
}

#[test]
fn files_without_numbers_are_known_to_be_all_once_they_were() {
    let world = World::new();
    let files = ["a", "b"].map(|name| file(&format!("c/train/{name}.parquet"), name));
    world.server.add_dataset("org/set", files);
    let hub = world.hub();
    let found = find(&hub, "c", "train").unwrap();
    hub.fetch_dataset_files(&found, 0..1, &()).unwrap();
    let missing = lacks(get_split(&world.offline(), "c", "train"));
    assert_eq!(missing, "Parquet of configuration `c`, split `train` after c/train/a.parquet");
    assert_eq!(find(&world.hub(), "c", "train").unwrap().names, found.names);

    hub.fetch_dataset_files(&found, 1..2, &()).unwrap();
    world.server.forget_requests();
    for hub in [world.offline(), world.hub()] {
        assert_eq!(contents(&get_split(&hub, "c", "train").unwrap().1), ["a", "b"]);
    }
    assert_eq!(world.server.requests(), []);
}

#[test]
fn what_the_hub_converted_comes_second() {
    let world = World::new();
    world.server.add_dataset("org/set", [file("data.csv", "a,b"), file("other/train.parquet", "x")]);
    let error = find(&world.hub(), "default", "train").unwrap_err();
    let Error::NoParquet { present, .. } = &error else { panic!("{error}") };
    assert_eq!(present, &["other/train"]);

    let files = [file("default/train/0001.parquet", "2"), file("default/train/0000.parquet", "1")];
    let commit = world.server.add_revision(Kind::Dataset, "org/set", "refs/convert/parquet", files);
    let found = get_split(&world.hub(), "default", "train").unwrap();
    assert_eq!((&found.0, contents(&found.1)), (&commit, vec!["1".into(), "2".into()]));
    let reference = world.cache().join("datasets--org--set/refs/refs/convert/parquet");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), commit);
    assert_eq!(get_split(&world.offline(), "default", "train").unwrap(), found);

    let error = find(&world.hub(), "default", "test").unwrap_err();
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
    assert_eq!(contents(&found.1), ["x"]);
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
