//! The watch backend on Watchman's daemon: for trees too large for a watch per directory.

/// What the backend is called in the configuration.
pub const NAME: &str = "watchman";
