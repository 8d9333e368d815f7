//! The kinds of steps, which a run can be limited to.

/// A kind of step of [`run`](crate::run).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// Texts are made of data sets.
    Texts,
    /// Models are found, and those that are neither on disk nor streamed downloaded. A run does so without being asked; by
    /// itself this prepares for steps that run elsewhere.
    Models,
    /// The parameters of each pair are compared.
    Parameters,
    /// Hidden states are measured.
    HiddenStates,
    /// Pictures are drawn of both.
    Pictures,
    /// The report is made.
    Report,
}

impl StepKind {
    /// All of them, in the order they are taken.
    pub const ALL: [Self; 6] =
        [Self::Texts, Self::Models, Self::Parameters, Self::HiddenStates, Self::Pictures, Self::Report];

    /// What users call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Texts => "texts",
            Self::Models => "models",
            Self::Parameters => "parameters",
            Self::HiddenStates => "hidden-states",
            Self::Pictures => "pictures",
            Self::Report => "report",
        }
    }
}
