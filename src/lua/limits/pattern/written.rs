//! A pattern as it is written.

use super::{item::Item, stop::Stop};

#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'p>(pub(super) &'p [u8]);

impl<'p> Written<'p> {
    /// What stands there; 0 at the end, as in C.
    #[inline]
    pub(super) fn at(self, p: usize) -> u8 {
        self.0.get(p).copied().unwrap_or(0)
    }

    /// Where the item ends that begins at `p`, without what repeats it.
    #[inline]
    pub(super) fn item_end(self, p: usize) -> Result<usize, Stop> {
        match self.at(p) {
            b'%' if p + 1 >= self.0.len() => Err(Stop::EndsWithPercent),
            b'%' => Ok(p + 2),
            b'[' => self.set_end(p),
            _ => Ok(p + 1),
        }
    }

    /// Where the set ends that begins at `p`.
    pub(super) fn set_end(self, p: usize) -> Result<usize, Stop> {
        let mut at = p + 1 + usize::from(self.at(p + 1) == b'^');
        loop {
            // A ] that comes first is a character of the set.
            let byte = *self.0.get(at).ok_or(Stop::SetWithoutEnd)?;
            at += 1;
            if byte == b'%' && at < self.0.len() {
                at += 1;
            }
            if self.at(at) == b']' {
                return Ok(at + 1);
            }
        }
    }

    /// What each match begins with, if the pattern says so at once.
    pub(super) fn first(self) -> Option<Item<'p>> {
        let p = usize::from(self.at(0) == b'(' && self.at(1) != b')');
        match (self.0.get(p)?, self.at(p + 1)) {
            (b'(' | b')' | b'$' | b'.', _) | (b'%', b'b' | b'f' | b'0'..=b'9') => return None,
            _ => {}
        }
        let end = self.item_end(p).ok()?;
        let is_optional = matches!(self.at(end), b'*' | b'?' | b'-');
        (!is_optional).then(|| Item::new(&self.0[p..end]))
    }
}
