//! Words of scripts, quoted as those who read them have it.

/// Characters that mean nothing to a shell, nor to sbatch.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_./-=:,@%+".contains(character)
}

/// A word of a shell script.
pub(crate) fn shell_word(text: &str) -> String {
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `--name=value` with the value quoted as a shell reads it.
pub(crate) fn shell_flag(name: &str, value: &str) -> String {
    format!("--{name}={}", shell_word(value))
}

/// `--name=value` as sbatch reads it in a `#SBATCH` line, in which a backslash counts within any quotes.
pub(crate) fn directive(name: &str, value: &str) -> String {
    if !value.is_empty() && value.chars().all(is_plain) {
        return format!("--{name}={value}");
    }
    format!("--{name}=\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const HOSTILE: [&str; 9] = [
        "plain/path_1.x-y",
        "",
        "a b",
        "it's",
        r#"say "x" \ \\"#,
        "$HOME `id` $(id) !! * ? [a] {b} ~",
        "#;&|<>()",
        "-x",
        "ü 数 \u{7f}",
    ];

    #[test]
    #[cfg(unix)]
    fn a_shell_reads_what_was_quoted() {
        for text in HOSTILE {
            let script = format!("printf %s {} {}", shell_word(text), shell_flag("name", text));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{text}--name={text}"));
        }
        assert_eq!(
            shell_word("plain/path_1.x-y"),
            "plain/path_1.x-y",
            "as it is where nothing asks for quotes"
        );
    }

    /// As slurm 22.05 reads these lines, which `tests/slurm/run.sh` tries on a real one.
    #[test]
    fn sbatch_reads_what_was_quoted() {
        let written = [
            ("gpu", "--x=gpu"),
            ("a b", r#"--x="a b""#),
            ("it's #1", r#"--x="it's #1""#),
            (r#"a"b\c"#, r#"--x="a\"b\\c""#),
            ("", r#"--x="""#),
        ];
        for (value, expected) in written {
            assert_eq!(directive("x", value), expected);
        }
    }
}
