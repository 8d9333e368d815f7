//! Names of models for a legend: paths, cut to the few last components that tell them apart.

const SEPARATORS: [char; 2] = ['/', '\\'];

/// Each path as its last component, or as many of the last as no other path has. Equal paths have equal labels, and
/// different paths different ones.
///
/// ```
/// let paths = ["runs/1/base", "runs/2/base", "models/tuned"].map(String::from);
/// assert_eq!(report::short_labels(&paths), ["1/base", "2/base", "tuned"]);
/// ```
#[must_use]
pub fn short_labels(paths: &[String]) -> Vec<String> {
    let label = |path: &String| {
        let alone = |(count, label): &(usize, &str)| {
            !label.is_empty() && paths.iter().all(|other| other == path || end(other, *count) != *label)
        };
        let ends = (1..=path.split(SEPARATORS).count()).map(|count| (count, end(path, count)));
        ends.into_iter().find(alone).map_or(path.as_str(), |(_, label)| label).to_owned()
    };
    paths.iter().map(label).collect()
}

/// The last components of a path, or all of it; without a separator at its end.
fn end(path: &str, components: usize) -> &str {
    let path = path.trim_end_matches(SEPARATORS);
    path.rmatch_indices(SEPARATORS).nth(components - 1).map_or(path, |(at, _)| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<const N: usize>(paths: [&str; N]) -> Vec<String> {
        short_labels(&paths.map(String::from))
    }

    #[test]
    fn as_many_components_as_tell_paths_apart() {
        assert_eq!(labels(["/data/models/pythia-70m/"]), ["pythia-70m"]);
        assert_eq!(
            labels(["a/model.safetensors", "b/model.safetensors"]),
            ["a/model.safetensors", "b/model.safetensors"]
        );
        assert_eq!(labels(["x/1/m", "x/2/m", "y/2/m", "n"]), ["1/m", "x/2/m", "y/2/m", "n"]);
        assert_eq!(labels([r"C:\runs\größe", r"C:\runs\b"]), ["größe", "b"]);
    }

    #[test]
    fn equal_paths_have_equal_labels_and_different_ones_never() {
        assert_eq!(labels(["m/base", "m/base", "n/base"]), ["m/base", "m/base", "n/base"]);
        assert_eq!(labels(["base", "m/base", "/base"]), ["base", "m/base", "/base"]);
        assert_eq!(labels(["base", "base/"]), ["base", "base/"]);
        assert_eq!(labels(["/", "", "a//b"]), ["/", "", "b"]);
        assert!(labels([]).is_empty());
    }
}
