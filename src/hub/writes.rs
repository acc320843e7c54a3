//! Writes of the store, whoever begins them: checked before, and counted after.

use std::time::Instant;

use super::{
    Done, Hub, StoreError, StoreResult, Write,
    limits::{check_key, check_value},
};

impl Hub {
    /// Whether that can be written.
    ///
    /// # Errors
    /// If there is no store, that is no key, or the value is too long.
    pub fn check_write(&self, key: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.store().ok_or(StoreError::Off)?;
        check_key(key, &self.config)?;
        value.map_or(Ok(()), |value| check_value(value, &self.config))
    }

    /// Begins to write; `done` is called with what came of it.
    ///
    /// # Errors
    /// See [`check_write`](Self::check_write); `done` is not called then.
    pub fn write(&self, write: Write, done: Done) -> Result<(), StoreError> {
        self.check_write(&write.key, write.value.as_deref())?;
        let (counters, began) = (self.counters.clone(), Instant::now());
        let counted = move |answer: Result<u64, StoreError>| {
            let result = match &answer {
                Ok(_) => StoreResult::Ok,
                Err(StoreError::Conflict) => StoreResult::Conflict,
                Err(_) => StoreResult::Failed,
            };
            counters.write(result, began.elapsed());
            done(answer);
        };
        self.store().ok_or(StoreError::Off)?.write(write, Box::new(counted));
        Ok(())
    }
}
