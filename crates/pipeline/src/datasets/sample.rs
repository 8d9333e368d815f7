//! A text as one line.

/// The text as one line: stripped as by Python's `str.strip()`, and each line end within it is one space. Line ends are
/// those of `str.splitlines()`, so that no reader sees two lines.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut before = '\0';
    for character in text.trim_matches(is_space).chars() {
        match character {
            '\n' if before == '\r' => {}
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                line.push(' ');
            }
            _ => line.push(character),
        }
        before = character;
    }
    line
}

/// Python's white space: Unicode's, and the four separators of ASCII.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_is_a_space() {
        assert_eq!(one_line("a\nb\r\nc\rd"), "a b c d");
        assert_eq!(one_line("a\n\nb\n\rc"), "a  b  c");
        assert_eq!(
            one_line("a\u{b}b\u{c}c\u{1c}d\u{1d}e\u{1e}f\u{85}g\u{2028}h\u{2029}i"),
            "a b c d e f g h i"
        );
        assert_eq!(one_line("tab\tand\u{a0}space stay"), "tab\tand\u{a0}space stay");
    }

    #[test]
    fn both_ends_are_stripped_as_python_does() {
        assert_eq!(one_line(" = Title = \n"), "= Title =");
        assert_eq!(one_line("\u{1f}\u{3000}ä\r\n\u{1c}"), "ä");
        assert_eq!(one_line("\u{feff}a\u{200b}"), "\u{feff}a\u{200b}", "neither is white space");
        assert_eq!(one_line(" \r\n\u{85}"), "");
    }
}
