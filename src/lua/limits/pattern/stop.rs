//! [`Stop`]: why a pattern cannot be matched to its end.

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It may not go on.
    Interrupted,
    TooComplex,
    TooManyCaptures,
    /// A capture that there is not, or not yet, with its number.
    NoSuchCapture(u8),
    NothingToClose,
    UnfinishedCapture,
    EndsWithPercent,
    SetWithoutEnd,
    BalanceWithoutArguments,
    FrontierWithoutSet,
}
