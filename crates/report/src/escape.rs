//! Text that comes from elsewhere, such as names of tensors and models, is text in the page and nothing else.

use std::fmt::Write as _;

/// For the content of an element and for an attribute in double quotes.
pub(crate) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\0' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// JSON within `<script>`: no `<` can end the element or begin a comment there, and no line separator a line.
pub(crate) fn for_script(json: &mut String) {
    let is_special = |character: char| matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_special(character) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character)); // a string takes everything
        } else {
            escaped.push(character);
        }
    }
    *json = escaped;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_an_element_or_an_attribute() {
        assert_eq!(text("a<b>&\"'\0"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}");
    }

    #[test]
    fn json_in_a_script_stays_the_same_json() {
        let hostile = "</script><!--<img onerror=x>\u{2028}\u{2029}&";
        let mut json = serde_json::to_string(hostile).unwrap();
        for_script(&mut json);
        assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }
}
