//! Text of files in messages: printable, and no longer than a message should be.

/// Bytes after which a text is cut.
const LONGEST: usize = 200;

/// Names after which a list is cut.
const MOST: usize = 20;

/// A name or a message with text of a file in it, as it can be shown on a terminal.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.len() >= LONGEST {
            shown.push('…');
            break;
        }
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            character => shown.extend(character.escape_debug()),
        }
    }
    shown
}

/// Names of a file, as [`shown`], separated by commas.
#[must_use]
pub fn listed(names: &[String]) -> String {
    let mut listed: Vec<String> = names.iter().take(MOST).map(|name| shown(name)).collect();
    if names.len() > MOST {
        listed.push(format!("… ({} in all)", names.len()));
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_file_is_escaped_and_cut() {
        assert_eq!(shown("layers.0 “quoted” \"so\" \\ é"), "layers.0 “quoted” \"so\" \\ é");
        assert_eq!(shown("a\u{1b}[31m\n\u{202e}\u{7f}"), r"a\u{1b}[31m\n\u{202e}\u{7f}");
        for filler in ["x", "\0", "é"] {
            let long = shown(&filler.repeat(100_000));
            assert!(long.ends_with('…') && long.len() < LONGEST + 20, "{long}");
        }
    }

    #[test]
    fn lists_are_cut() {
        let names: Vec<String> = (0..1000).map(|index| format!("\0{index}")).collect();
        assert_eq!(listed(&names[..2]), r"\00, \01");
        assert!(listed(&names).ends_with(r", \019, … (1000 in all)"), "{}", listed(&names));
    }
}
