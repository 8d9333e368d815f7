//! Text of files in messages: printable, and no longer than a message should be.

/// Bytes after which a text is cut.
const LONGEST: usize = 200;

/// A name or a message with text of a file in it, as it can be shown on a terminal.
pub(crate) fn shown(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::{LONGEST, shown};

    #[test]
    fn text_of_a_file_is_escaped_and_cut() {
        assert_eq!(shown("layers.0 “quoted” \"so\" \\ é"), "layers.0 “quoted” \"so\" \\ é");
        assert_eq!(shown("a\u{1b}[31m\n\u{202e}\u{7f}"), r"a\u{1b}[31m\n\u{202e}\u{7f}");
        for filler in ["x", "\0", "é"] {
            let long = shown(&filler.repeat(100_000));
            assert!(long.ends_with('…') && long.len() < LONGEST + 20, "{long}");
        }
    }
}
