//! The page around its parts: style, scripts, and a policy that lets nothing else in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("../../assets/page.html");
const HOW_TO_READ: &str = include_str!("../../assets/how_to_read.html");
const STYLES: [&str; 2] = [
    include_str!("../../assets/vendor/tabulator/tabulator.min.css"),
    include_str!("../../assets/report.css"),
];
const SCRIPTS: [&str; 7] = [
    include_str!("../../assets/vendor/echarts/echarts.min.js"),
    include_str!("../../assets/vendor/tabulator/tabulator.min.js"),
    include_str!("../../assets/report.js"),
    include_str!("../../assets/charts.js"),
    include_str!("../../assets/weight_charts.js"),
    include_str!("../../assets/activation_charts.js"),
    include_str!("../../assets/tables.js"),
];

/// The page with `{{name}}` replaced by the part of that name. What is put in is not looked at again.
pub(crate) fn fill(part: &dyn Fn(&str) -> String) -> String {
    let mut page = String::new();
    let mut rest = PAGE;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, after)| Some((before, after.split_once("}}")?)))
    {
        page.push_str(before);
        page.push_str(&match name {
            "policy" => policy(),
            "style" => STYLES.concat(),
            "how_to_read" => HOW_TO_READ.to_owned(),
            "scripts" => SCRIPTS.map(|script| format!("<script>{script}</script>\n")).concat(),
            name => part(name),
        });
        rest = after;
    }
    page + rest
}

/// Nothing may be loaded from anywhere, and no script may run but these, whatever the data contains.
fn policy() -> String {
    let hash = |script: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(script)));
    let scripts = SCRIPTS.map(hash).join(" ");
    format!(
        "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
         form-action 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_styles_stay_within_their_elements() {
        for script in SCRIPTS {
            let script = script.to_lowercase();
            assert!(!script.contains("</script") && !script.contains("<!--") && !script.contains("<script"));
        }
        assert!(STYLES.iter().all(|style| !style.contains("</style")));
    }

    #[test]
    fn embedded_libraries_are_those_that_the_readme_names() {
        let readme = include_str!("../../assets/vendor/README.md");
        for library in [SCRIPTS[0], SCRIPTS[1], STYLES[0]] {
            let sum =
                Sha256::digest(library).iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
            assert!(readme.contains(&sum), "{sum}");
        }
    }

    #[test]
    fn parts_are_not_filled_again() {
        let page = fill(&|name| if name == "title" { "{{findings}}".into() } else { format!("<{name}>") });
        assert!(page.contains("<title>{{findings}}</title>") && page.contains("<findings>"));
    }
}
