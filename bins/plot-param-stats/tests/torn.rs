//! Runs that do not end as they should leave no file that is not what it should be.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/torn.rs"]
mod torn;

use std::path::Path;
use std::process::Command;

use torn::{Door, Torn};

/// The same pictures under two titles.
fn torn(folder: &Path) -> Torn {
    let outdir = folder.join("plots");
    let csv = "layer,group,dW_fro_layer,mean_dW_stable_rank,count_mats\n0,attn,1.5,3,4\n0,mlp,2,2.5,3\n1,attn,1,2,4\n";
    std::fs::write(folder.join("table.csv"), csv).unwrap();
    let door = |title: &'static str| -> Door {
        let (folder, outdir) = (folder.to_path_buf(), outdir.clone());
        Box::new(move || {
            let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plot-param-stats"));
            command.current_dir(&folder).args(["--per-layer", "table.csv", "--format", "svg"]);
            command.args(["--title", title, "--outdir"]).arg(&outdir);
            command
        })
    };
    Torn::new(outdir.clone(), [door("One"), door("Other")], ["stable_rank_mlp"; 2])
}

#[test]
fn killed_and_interrupted_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let torn = torn(folder.path());
    torn.killed(30);
    torn.signalled(10);
}

#[test]
fn two_runs_at_once() {
    let folder = tempfile::tempdir().unwrap();
    torn(folder.path()).crowded(20);
}

#[test]
fn no_room_no_right_and_nobody_who_listens() {
    let folder = tempfile::tempdir().unwrap();
    let torn = torn(folder.path());
    torn.limited();
    torn.full();
    torn.read_only();
    torn.unheard();
}
