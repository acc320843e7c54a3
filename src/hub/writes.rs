//! Writes of the store, whoever begins them: checked before, and counted after.

use std::time::Instant;

use tokio::sync::oneshot;

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

    /// Writes a key of the server's own, and waits for the answer.
    ///
    /// # Errors
    /// If there is no store, or it refuses.
    pub(crate) async fn write_own(&self, write: Write) -> Result<u64, StoreError> {
        let (sender, answer) = oneshot::channel();
        let done = move |result: Result<u64, StoreError>| {
            // Who asked may be gone.
            let _ = sender.send(result);
        };
        self.store().ok_or(StoreError::Off)?.write(write, Box::new(done));
        answer.await.map_err(|_| StoreError::Failed("the store has ended; the log says why".into()))?
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
