//! [`Shared`]: long texts and arrays are held once, however many variables show them.

use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    account::{Account, Exceeded},
    value::{Elements, Encoded, Listed, LongText, Text, wire_length},
};

/// Texts that are longer are shared.
pub(crate) const SHORT: usize = 128;
/// With fewer texts than this, dead ones are not looked for.
const FEW: usize = 64;

/// What is shared. It keeps nothing alive.
#[derive(Debug)]
pub(crate) struct Shared {
    account: Account,
    texts: FxHashMap<u64, Weak<Text>>,
    /// Dead ones are removed when there are this many.
    sweep_at: usize,
    /// The last array: one list is mostly read by several variables, one after the other.
    recent: Weak<Listed>,
}

impl Shared {
    pub(crate) fn new(account: Account) -> Self {
        Self { account, texts: FxHashMap::default(), sweep_at: FEW, recent: Weak::new() }
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// A text, the one that is there already if there is one.
    pub(crate) fn text(&mut self, text: &str) -> Result<LongText, Exceeded> {
        if text.len() > self.account.value() {
            return Err(self.account.exceeded());
        }
        let hash = xxh3_64(text.as_bytes());
        if let Some(known) = self.texts.get(&hash).and_then(Weak::upgrade)
            && *known.text == *text
        {
            return Ok(LongText(known));
        }
        let wire = wire_length(text);
        if wire > self.account.value() {
            return Err(self.account.exceeded());
        }
        let charge = self.account.staying(text.len() + size_of::<Text>())?;
        if self.texts.len() >= self.sweep_at {
            self.texts.retain(|_, text| text.strong_count() > 0);
            self.texts.shrink_to(FEW);
            self.sweep_at = FEW.max(self.texts.len() * 2);
        }
        let text = Arc::new(Text { text: text.into(), wire, _charge: charge });
        self.texts.insert(hash, Arc::downgrade(&text));
        Ok(LongText(text))
    }

    /// An array, the one before if it is the same.
    pub(crate) fn array(&mut self, elements: Vec<Encoded>) -> Result<Elements, Exceeded> {
        if let Some(recent) = self.recent.upgrade()
            && recent.elements == elements
        {
            return Ok(Elements(recent));
        }
        let wire = elements.iter().map(|element| element.wire() + 1).sum::<usize>() + 2;
        let own: usize = elements.iter().map(Encoded::own_bytes).sum();
        let charge = self.account.staying(own + size_of::<Listed>() + size_of_val(&*elements))?;
        let array = Arc::new(Listed { elements, wire, _charge: charge });
        self.recent = Arc::downgrade(&array);
        Ok(Elements(array))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_once_and_charged_once_and_comes_back() {
        let account = Account::new(1 << 20);
        let mut shared = Shared::new(account.clone());
        let long = "x".repeat(10_000);
        let texts: Vec<_> = (0..100).map(|_| shared.text(&long).unwrap()).collect();
        assert!(account.used() < 11_000);
        drop(texts);
        assert_eq!(account.used(), 0);
        assert!(shared.text(&"x".repeat(300_000)).is_err(), "larger than a value may be");
        for n in 0..1000 {
            shared.text(&format!("{n}{long}")).unwrap();
        }
        assert!(shared.texts.len() <= FEW, "what nobody shows is swept out: {}", shared.texts.len());
    }
}
