//! What may be a key, a topic and a value.

use super::StoreError;
use crate::config::HubConfig;

/// Whether that may be a key.
pub(super) fn check_key(key: &str, config: &HubConfig) -> Result<(), StoreError> {
    check_length("the key's length in bytes", key.len(), config)?;
    if key.is_empty() {
        return Err(StoreError::BadKey("a key is a text that is not empty".into()));
    }
    if key.chars().any(char::is_control) {
        return Err(StoreError::BadKey("a key has no control characters in it".into()));
    }
    Ok(())
}

/// Whether a key may begin so.
pub(super) fn check_prefix(prefix: &str, config: &HubConfig) -> Result<(), StoreError> {
    check_length("the prefix's length in bytes", prefix.len(), config)?;
    if prefix.chars().any(char::is_control) {
        return Err(StoreError::BadKey("a key has no control characters in it".into()));
    }
    Ok(())
}

fn check_length(what: &'static str, got: usize, config: &HubConfig) -> Result<(), StoreError> {
    limit(what, got, config.max_key.as_usize(), "hub.max_key")
}

/// Whether a value may be so long, as JSON.
pub(super) fn check_value(value: &str, config: &HubConfig) -> Result<(), StoreError> {
    limit("the value's length in bytes, as JSON,", value.len(), config.max_value.as_usize(), "hub.max_value")
}

/// Whether there may be so much of it.
pub(super) fn limit(what: &'static str, got: usize, max: usize, key: &'static str) -> Result<(), StoreError> {
    if got > max { Err(StoreError::Limit { what, got, max, key }) } else { Ok(()) }
}
