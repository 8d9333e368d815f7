//! What tables say, in sentences that their numbers support.

/// What is found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The finding, a sentence of plain text.
    pub text: String,
    /// More about it: the numbers that it stands on. May be empty.
    pub detail: String,
    /// True for what limits the other findings: matrices that could not be compared, tokens without a finite norm.
    pub is_caution: bool,
}

impl Finding {
    pub(crate) fn new(text: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { text: text.into(), detail: detail.into(), is_caution: false }
    }

    pub(crate) fn caution(text: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { is_caution: true, ..Self::new(text, detail) }
    }
}

/// Findings as a test shows them.
#[cfg(test)]
pub(crate) fn lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let mark = if finding.is_caution { "! " } else { "" };
        let detail =
            if finding.detail.is_empty() { String::new() } else { format!("    {}\n", finding.detail) };
        format!("{mark}{}\n{detail}", finding.text)
    };
    findings.iter().map(line).collect()
}
