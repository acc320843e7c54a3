//! [`Announcement`]: what is sent to all servers at once when something is published: the pointer, and what is new of
//! the release. It is only faster than reading them, so all or parts of it may be lost, and it is believed no more than
//! what is read.

use std::{collections::BTreeMap, sync::Arc};

use super::{Digest, MAX_POINTER};

/// Blobs by their addresses.
pub type Blobs = BTreeMap<Digest, Arc<[u8]>>;

/// Blobs of one announcement have no more bytes together: each server has them in memory for a moment.
pub const MAX_ANNOUNCED: usize = 4 << 20;
/// Parts of a message have no more bytes together, if they are not one blob: NATS takes a megabyte.
const MAX_MESSAGE: usize = 512 << 10;
/// A small blob counts for so much: of empty ones there are not many, either.
const LEAST: usize = 64;

/// What is sent to all servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announcement {
    /// The pointer, and its signature.
    pub pointer: Vec<u8>,
    /// What the depot had not before.
    pub blobs: Blobs,
}

impl Announcement {
    /// A pointer with these blobs, if they are small enough together; else alone.
    pub fn new(pointer: Vec<u8>, blobs: &Blobs) -> Self {
        let is_small = size(blobs) <= MAX_ANNOUNCED;
        Self { pointer, blobs: if is_small { blobs.clone() } else { Blobs::new() } }
    }

    /// The messages to send, in this order: each part behind its length, and the pointer, which is empty in all but
    /// the last, first.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let (mut messages, mut message) = (Vec::new(), part(&[]));
        for blob in self.blobs.values() {
            if message.len() + blob.len() > MAX_MESSAGE && message.len() > part(&[]).len() {
                messages.push(std::mem::replace(&mut message, part(&[])));
            }
            message.extend(part(blob));
        }
        // Most often it all fits into one message.
        if message.len() + self.pointer.len() <= MAX_MESSAGE {
            message.splice(..part(&[]).len(), part(&self.pointer));
        } else {
            messages.push(std::mem::replace(&mut message, part(&self.pointer)));
        }
        messages.push(message);
        messages
    }
}

/// Messages of an announcement, as they come.
#[derive(Debug, Default)]
pub struct Announcing {
    blobs: Blobs,
    size: usize,
}

impl Announcing {
    /// Takes a message, which may be anything. With the last one it is whole, or what has come of it.
    pub fn take(&mut self, message: &[u8]) -> Option<Announcement> {
        let mut parts = parts(message)?.into_iter();
        let pointer = parts.next()?;
        for blob in parts {
            // It has the address of what it is.
            self.blobs.insert(Digest::of(blob), Arc::from(blob));
            self.size += counted(blob);
        }
        if self.size > MAX_ANNOUNCED || pointer.len() > MAX_POINTER {
            *self = Self::default();
            return None;
        }
        let is_last = !pointer.is_empty();
        is_last.then(|| Announcement { pointer: pointer.to_vec(), blobs: std::mem::take(self).blobs })
    }
}

fn part(bytes: &[u8]) -> Vec<u8> {
    // None is larger than a piece of a file.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length, bytes].concat()
}

fn parts(message: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    let mut rest = message;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (part, after) = after.split_at_checked(length)?;
        parts.push(part);
        rest = after;
    }
    rest.is_empty().then_some(parts)
}

fn size(blobs: &Blobs) -> usize {
    blobs.values().map(|blob| counted(blob)).sum()
}

fn counted(blob: &[u8]) -> usize {
    blob.len().max(LEAST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blobs(sizes: &[usize]) -> Blobs {
        let blob = |(n, size): (usize, &usize)| -> Arc<[u8]> { vec![u8::try_from(n).unwrap(); *size].into() };
        sizes.iter().enumerate().map(blob).map(|blob| (Digest::of(&blob), blob)).collect()
    }

    fn received(messages: &[Vec<u8>]) -> Vec<Announcement> {
        let mut announcing = Announcing::default();
        messages.iter().filter_map(|message| announcing.take(message)).collect()
    }

    #[test]
    fn what_was_sent_is_read_in_as_many_messages_as_it_takes() {
        for (sizes, count) in [
            (&[][..], 1),
            (&[0, 4096, 7], 1),
            (&[MAX_MESSAGE - 8], 2),
            (&[900 << 10, 1, 900 << 10], 4),
            (&[4096; 200], 2),
        ] {
            let sent = Announcement::new(b"pointer".to_vec(), &blobs(sizes));
            let messages = sent.messages();
            assert!(messages.len() <= count, "{} of {sizes:?}", messages.len());
            assert!(messages.iter().all(|message| message.len() < 1_000_000));
            assert_eq!(received(&messages), [sent]);
        }
    }

    #[test]
    fn of_what_was_lost_on_the_way_the_rest_is_there() {
        let sent = Announcement::new(b"pointer".to_vec(), &blobs(&[400 << 10, 300 << 10, 200 << 10]));
        let messages = sent.messages();
        let rest = received(&messages[1..]);
        assert_eq!(rest[0].pointer, sent.pointer);
        assert!(!rest[0].blobs.is_empty() && rest[0].blobs.len() < sent.blobs.len());
    }

    #[test]
    fn more_than_is_ever_sent_is_not_kept() {
        assert!(Announcement::new(Vec::new(), &blobs(&[MAX_ANNOUNCED, 1])).blobs.is_empty());
        let mut announcing = Announcing::default();
        for n in 0..100_000_u32 {
            announcing.take(&[part(&[]), part(&n.to_be_bytes())].concat());
        }
        assert!(size(&announcing.blobs) <= MAX_ANNOUNCED);
        assert_eq!(announcing.take(&part(&vec![1; MAX_POINTER + 1])), None);
        assert_eq!(announcing.take(&[0, 0, 0, 9, 1]), None, "one that was cut off");
        assert_eq!(announcing.take(&[]), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_is_made_up(messages in prop::collection::vec(prop::collection::vec(0u8..4, 0..64), 1..4)) {
            for read in received(&messages) {
                prop_assert!(read.blobs.iter().all(|(address, blob)| Digest::of(blob) == *address));
            }
        }
    }
}
