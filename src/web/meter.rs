//! Counts what a browser has sent of a message that is not complete yet.
//!
//! tungstenite makes room for a frame as soon as it has read its head. So the heads are read here first, and
//! what they announce is charged to the session's account before tungstenite allocates it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::{Account, Charge, Exceeded};

/// The longest head: two bytes, a length of eight, a mask of four.
const LONGEST: usize = 14;

/// A browser's stream whose unfinished messages are charged.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    heads: Heads,
}

/// Follows frames by their heads.
#[derive(Debug)]
struct Heads {
    /// The head that is being read.
    head: [u8; LONGEST],
    known: u8,
    /// Bytes of the present frame that are still to come.
    rest: u64,
    /// A message ends with the present frame.
    is_last: bool,
    /// For the message that is being read.
    charge: Charge,
}

impl<S> Metered<S> {
    /// What is read is charged to `account`.
    pub(super) fn new(stream: S, account: &Account) -> Self {
        let charge = account.passing(0).unwrap_or_default();
        Self { stream, heads: Heads { head: [0; LONGEST], known: 0, rest: 0, is_last: false, charge } }
    }
}

/// Whether a stream was ended here.
pub(super) fn is_exceeded(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Exceeded>())
}

impl Heads {
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Exceeded> {
        while let Some((first, others)) = bytes.split_first() {
            if self.rest > 0 {
                let now = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(now..).unwrap_or_default();
                self.rest -= now as u64;
                self.end_if_complete();
                continue;
            }
            if let Some(place) = self.head.get_mut(usize::from(self.known)) {
                *place = *first;
            }
            (self.known, bytes) = (self.known + 1, others);
            if let Some(length) = self.length() {
                self.begin(length)?;
            }
        }
        Ok(())
    }

    /// What the head says, if it is complete.
    fn length(&self) -> Option<u64> {
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (more, length) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes([a, b]))),
            127 => (8, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            length => (0, u64::from(length)),
        };
        (self.known >= 2 && self.known >= 2 + more + mask).then_some(length)
    }

    fn begin(&mut self, length: u64) -> Result<(), Exceeded> {
        let [first, ..] = self.head;
        // Control frames come in between, and are short.
        let is_control = first & 0x08 != 0;
        self.is_last = first & 0x80 != 0 && !is_control;
        (self.known, self.rest) = (0, length);
        if !is_control {
            self.charge.extend(usize::try_from(length).unwrap_or(usize::MAX))?;
        }
        self.end_if_complete();
        Ok(())
    }

    /// From here on the session charges the message.
    fn end_if_complete(&mut self) {
        if self.rest == 0 && self.is_last {
            self.charge.clear();
            self.is_last = false;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &read {
            let new = buffer.filled().get(before..).unwrap_or_default();
            if let Err(exceeded) = self.heads.follow(new) {
                return Poll::Ready(Err(io::Error::other(exceeded)));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn heads(max: usize) -> (Heads, Account) {
        let account = Account::new(max);
        (Metered::new((), &account).heads, account)
    }

    /// A masked frame, or its head only.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..65_536 => frame.extend([&[0x80 | 126], &(length as u16).to_be_bytes()[..]].concat()),
            _ => frame.extend([&[0x80 | 127], &(length as u64).to_be_bytes()[..]].concat()),
        }
        frame.extend([0; 4]);
        frame.resize(frame.len() + length, b'x');
        frame
    }

    #[test]
    fn what_a_head_announces_is_charged_until_the_message_is_complete_however_it_is_cut() {
        for length in [0, 1, 125, 126, 4000, 65_535, 65_536, 200_000] {
            for cut in [1, 3, 1000, usize::MAX] {
                let (mut heads, account) = heads(1 << 20);
                let bytes = [frame(0x01, length), frame(0x89, 4), frame(0x00, 10)].concat();
                for part in bytes.chunks(cut.min(bytes.len())) {
                    heads.follow(part).unwrap();
                }
                assert_eq!(account.used(), length + 10, "two frames of a message, a ping in between");
                heads.follow(&frame(0x80, 7)).unwrap();
                assert_eq!(account.used(), 0, "{length} in parts of {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_frames_come_and_however_they_are_cut_what_is_not_complete_is_charged(
            frames in vec((any::<u8>(), prop_oneof![0..300_usize, 65_500..65_600_usize]), 0..12),
            cuts in vec(1..70_000_usize, 1..8),
        ) {
            let (mut heads, account) = heads(2 << 20);
            let (mut expected, mut bytes) = (0, Vec::new());
            for (first, length) in frames {
                bytes.extend(frame(first, length));
                expected = match (first & 0x08 != 0, first & 0x80 != 0) {
                    (true, _) => expected,
                    (false, false) => expected + length,
                    (false, true) => 0,
                };
            }
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let part;
                (part, rest) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                heads.follow(part).unwrap();
            }
            prop_assert_eq!(account.used(), expected);
        }
    }

    #[test]
    fn a_head_that_announces_more_than_there_is_room_for_is_refused_before_anything_comes() {
        let (mut heads, account) = heads(100_000);
        heads.follow(&frame(0x81, 99_000)[..50]).unwrap();
        assert_eq!(account.used(), 99_000);
        drop(heads);
        assert_eq!(account.used(), 0);
        let (mut heads, _) = self::heads(100_000);
        assert!(heads.follow(&[0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]).is_err());
    }
}
