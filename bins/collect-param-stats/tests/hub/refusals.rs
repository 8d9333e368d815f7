//! Who may have what, and what is said of what cannot be obtained.

use loopback_hub::LoopbackHub;

use crate::online::fixture;
use crate::support::stderr;
use crate::{compare, compare_pair, pair};

#[test]
fn a_private_model_takes_the_token_which_goes_to_the_hub_alone() {
    let (online, _) = pair();
    online.hub.require_token("org/base", "hf_mine");
    let output = compare_pair(&online, "variable").env("HF_TOKEN", "hf_mine").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (deliveries, others): (Vec<_>, Vec<_>) =
        online.hub.requests().into_iter().partition(|request| request.path.starts_with("/cdn/"));
    assert!(deliveries.iter().all(|request| request.authorization.is_none()));
    assert!(others.iter().all(|request| request.authorization.as_deref() == Some("Bearer hf_mine")));

    // As `hf auth login` leaves it.
    std::fs::remove_dir_all(online.home()).unwrap();
    std::fs::create_dir(online.home()).unwrap();
    std::fs::write(online.home().join("token"), "hf_mine\n").unwrap();
    let output = compare_pair(&online, "file").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_had_is_said_with_its_cause_and_the_way_out() {
    let (online, _) = pair();
    online.hub.add_model("org/gated", fixture("pairs/neox/a"));
    online.hub.gate("org/gated");
    online.hub.add_model("org/private", fixture("pairs/neox/a"));
    online.hub.require_token("org/private", "hf_other");
    online.hub.add_model("org/empty", [("README.md".to_owned(), b"soon".to_vec())]);
    for (case, model, token) in [
        ("unknown", "org/unknown", None),
        ("unknown_with_token", "org/unknown", Some("hf_mine")),
        ("private", "org/private", None),
        ("private_with_token", "org/private", Some("hf_mine")),
        ("gated", "org/gated", None),
        ("gated_with_token", "org/gated", Some("hf_mine")),
        ("invalid_token", "org/base", Some("nonsense")),
        ("unknown_revision", "org/base@nowhere", None),
        ("no_weights", "org/empty", None),
        ("no_id", "hf://org/base/model.safetensors", None),
    ] {
        for stream in [false, true] {
            let outdir = online.outdir(case);
            let mut command = compare(&online, model, model, &outdir);
            command.envs(token.map(|token| ("HF_TOKEN", token))).args(stream.then_some("--stream"));
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{case}");
            // Gated files are listed, so that fetching them may have begun.
            let message = online.redacted(&output);
            let (_, message) = message.split_at(message.find("error: ").unwrap());
            insta::allow_duplicates! {
                insta::assert_snapshot!(format!("error_{case}"), message);
            }
            assert!(!outdir.exists(), "{case}: nothing is written");
        }
    }
    assert!(online.cached().iter().all(|name| !name.contains("/snapshots/")), "{:?}", online.cached());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (online, _) = pair();
    let stopped = LoopbackHub::start().unwrap().endpoint();
    let output = compare_pair(&online, "results").env("HF_ENDPOINT", &stopped).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("no_server", online.redacted(&output).replace(&stopped, "[endpoint]"));
}
