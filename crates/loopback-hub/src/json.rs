//! How the Hub's API describes a revision.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::content::{Content, git_blob};
use crate::repository::{Access, Files};

/// `/api/models/{id}/revision/{rev}`; `blobs` adds sizes and hashes.
pub(crate) fn description(
    id: &str,
    commit: &str,
    files: &Files,
    access: Option<&Access>,
    blobs: bool,
) -> Value {
    let sibling = |(name, content): (&String, &Arc<Content>)| {
        if blobs { sibling_with_hashes(name, content) } else { json!({ "rfilename": name }) }
    };
    let gated = access.is_some_and(|access| access.gated);
    json!({
        "id": id,
        "author": id.split_once('/').map(|(author, _)| author),
        "sha": commit,
        "private": access.is_some_and(|access| access.private_to.is_some()),
        "gated": if gated { json!("auto") } else { json!(false) },
        "disabled": false,
        "tags": [],
        "siblings": files.iter().map(sibling).collect::<Vec<_>>(),
    })
}

fn sibling_with_hashes(name: &str, content: &Content) -> Value {
    let (blob, pointer_size) = git_entry(name, content);
    let size = content.len();
    let mut sibling = json!({ "rfilename": name, "blobId": blob, "size": size });
    if let Some(pointer_size) = pointer_size {
        sibling["lfs"] = json!({ "sha256": content.sha256, "size": size, "pointerSize": pointer_size });
    }
    sibling
}

/// `/api/models/{id}/tree/{rev}?recursive=true`
pub(crate) fn tree(files: &Files) -> Value {
    let entry = |(name, content): (&String, &Arc<Content>)| {
        let (blob, pointer_size) = git_entry(name, content);
        let size = content.len();
        let mut entry = json!({ "type": "file", "oid": blob, "size": size, "path": name });
        if let Some(pointer_size) = pointer_size {
            entry["lfs"] = json!({ "oid": content.sha256, "size": size, "pointerSize": pointer_size });
        }
        entry
    };
    files.iter().map(entry).collect()
}

/// The name of the blob in git, and for a file in LFS the size of the pointer that is this blob.
fn git_entry(name: &str, content: &Content) -> (String, Option<usize>) {
    if !content.is_lfs(name) {
        return (content.git_blob.clone(), None);
    }
    let pointer = content.lfs_pointer();
    (git_blob(&pointer), Some(pointer.len()))
}
