//! One account for each session: the bytes that are held for its browsers, beside its Lua state.
//!
//! Everything that is held for a browser has a [`Charge`], which is given back when it is dropped. What stays
//! (variables, their properties, what was sent last) may fill only a part of the account, so that there is
//! always room for what is on its way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use thiserror::Error;

/// How many sixteenths of the account what stays may fill.
const STAYING: usize = 10;
/// How many sixteenths one value may take on its way to a browser.
const VALUE: usize = 4;
/// A frame of this many sixteenths takes no more values: the rest follows in the next one.
const FRAME: usize = 1;

/// The bytes that are held for the browsers of one session; cheap to clone.
#[derive(Debug, Clone)]
pub struct Account(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    used: AtomicUsize,
}

/// Something is more than the account allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {max} bytes for the browsers of one session (session.budget.browser)")]
pub struct Exceeded {
    max: usize,
}

/// Some bytes of an account, given back when this is dropped. The default has no account and no bytes.
#[derive(Debug, Default)]
pub struct Charge {
    account: Option<Account>,
    bytes: usize,
}

impl Account {
    /// Makes an account of `max` bytes: `session.budget.browser`.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max, used: AtomicUsize::new(0) }))
    }

    /// Bytes that are held now.
    pub fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// Whether so little is left that browsers that do not read have to wait.
    pub(crate) fn is_short(&self) -> bool {
        self.used() > self.part(STAYING)
    }

    /// The largest value that is sent.
    pub(crate) fn value(&self) -> usize {
        self.part(VALUE)
    }

    /// The size at which a frame is full.
    pub(crate) fn frame(&self) -> usize {
        self.part(FRAME)
    }

    /// Charges what is on its way.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn passing(&self, bytes: usize) -> Result<Charge, Exceeded> {
        self.take(bytes, self.0.max)?;
        Ok(Charge { account: Some(self.clone()), bytes })
    }

    /// Charges what stays.
    pub(crate) fn staying(&self, bytes: usize) -> Result<Charge, Exceeded> {
        self.take(bytes, self.part(STAYING))?;
        Ok(Charge { account: Some(self.clone()), bytes })
    }

    pub(crate) fn exceeded(&self) -> Exceeded {
        Exceeded { max: self.0.max }
    }

    fn part(&self, sixteenths: usize) -> usize {
        self.0.max / 16 * sixteenths
    }

    fn take(&self, bytes: usize, max: usize) -> Result<(), Exceeded> {
        let added = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
        self.0.used.fetch_update(Relaxed, Relaxed, added).map(drop).map_err(|_| self.exceeded())
    }
}

impl Charge {
    /// More for what stays.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Exceeded> {
        if let Some(account) = &self.account {
            account.take(bytes, account.part(STAYING))?;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// More for what is on its way.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn extend(&mut self, bytes: usize) -> Result<(), Exceeded> {
        if let Some(account) = &self.account {
            account.take(bytes, account.0.max)?;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Gives some back.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        if let Some(account) = &self.account {
            account.0.used.fetch_sub(bytes, Relaxed);
            self.bytes -= bytes;
        }
    }

    /// Gives all of it back.
    pub fn clear(&mut self) {
        self.shrink(self.bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_leaves_room_for_what_is_on_its_way_and_all_of_it_comes_back() {
        let account = Account::new(1600);
        let mut stays = account.staying(900).unwrap();
        assert_eq!(stays.grow(200), Err(account.exceeded()));
        assert!(account.staying(101).is_err());
        let mut passes = account.passing(600).unwrap();
        assert!(passes.extend(101).is_err() && account.passing(usize::MAX).is_err());
        passes.shrink(100);
        stays.grow(1).unwrap_err();
        drop(passes);
        stays.grow(100).unwrap();
        assert_eq!(account.used(), 1000);
        drop(stays);
        assert_eq!(account.used(), 0);
    }
}
