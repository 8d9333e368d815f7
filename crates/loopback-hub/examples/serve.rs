//! Serves the folders of a folder as models of the Hub, to try the tools by hand:
//! `cargo run -p loopback-hub --example serve -- FOLDER [PORT]`, with a model's files in FOLDER/ORG/NAME, and a data set's
//! in FOLDER/datasets/ORG/NAME.

use std::path::{Path, PathBuf};

use loopback_hub::{Kind, LoopbackHub, folder_files};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: serve FOLDER [PORT]")?;
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let hub = LoopbackHub::start_on(port)?;
    add_repositories(&hub, Kind::Model, Path::new(&folder))?;
    let datasets = Path::new(&folder).join("datasets");
    if datasets.is_dir() {
        add_repositories(&hub, Kind::Dataset, &datasets)?;
    }
    println!("export HF_ENDPOINT={}", hub.endpoint());
    loop {
        std::thread::park(); // until Ctrl-C
    }
}

fn add_repositories(hub: &LoopbackHub, kind: Kind, folder: &Path) -> std::io::Result<()> {
    for organisation in folders(folder)? {
        if kind == Kind::Model && organisation.ends_with("datasets") {
            continue;
        }
        for repository in folders(&organisation)? {
            let id =
                repository.strip_prefix(folder).unwrap_or(&repository).to_string_lossy().replace('\\', "/");
            let commit = hub.add_revision(kind, &id, "main", folder_files(&repository)?);
            println!("# {kind:?} {id} {commit}");
        }
    }
    Ok(())
}

fn folders(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut folders = entries
        .filter(|path| path.as_ref().map_or(true, |path| path.is_dir()))
        .collect::<Result<Vec<_>, _>>()?;
    folders.sort();
    Ok(folders)
}
