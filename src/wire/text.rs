//! Long texts and arrays, held once however many variables show them.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
};

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    account::{Account, Charge, Exceeded},
    value::Encoded,
};

/// Texts that are longer are shared.
pub(crate) const SHORT: usize = 128;
/// With fewer texts, dead ones are not looked for.
const FEW: usize = 64;

/// A text that variables share.
#[derive(Debug, Clone)]
pub struct LongText(Arc<Text>);

#[derive(Debug)]
struct Text {
    text: Box<str>,
    wire: usize,
    _charge: Charge,
}

/// The elements of an array that variables share.
#[derive(Debug, Clone)]
pub struct Elements(Arc<Listed>);

#[derive(Debug)]
struct Listed {
    elements: Vec<Encoded>,
    wire: usize,
    _charge: Charge,
}

impl LongText {
    /// Bytes that it takes as JSON.
    pub(crate) fn wire(&self) -> usize {
        self.0.wire
    }
}

impl Deref for LongText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for LongText {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Elements {
    /// Bytes that it takes as JSON.
    pub(crate) fn wire(&self) -> usize {
        self.0.wire
    }
}

impl Deref for Elements {
    type Target = [Encoded];

    fn deref(&self) -> &[Encoded] {
        &self.0.elements
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

/// What is shared. It keeps nothing alive.
#[derive(Debug)]
pub(crate) struct Shared {
    account: Account,
    texts: FxHashMap<u64, Weak<Text>>,
    /// Dead ones are swept out when there are so many.
    sweep_at: usize,
    /// The array before: one list is mostly read by several variables, one after the other.
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

/// The bytes of a text as JSON.
pub(crate) fn wire_length(text: &str) -> usize {
    let extra = |byte: u8| match byte {
        b'"' | b'\\' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(extra).sum::<usize>()
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

    #[test]
    fn a_length_on_the_wire_is_that_of_the_json() {
        for text in ["", "a", "\"\\", "\u{1}\u{7f}é", "\n\t"] {
            let json = serde_json::to_string(text).unwrap();
            let short_forms = text.matches(['\n', '\t']).count() * 4;
            assert_eq!(wire_length(text), json.len() + short_forms, "{text:?}");
        }
    }
}
