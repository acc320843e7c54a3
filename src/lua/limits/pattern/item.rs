//! What one item of a pattern takes: a character, a class such as `%a`, a set such as `[^%s,]`, or anything.

const ALPHA: u16 = 1;
const CONTROL: u16 = 1 << 1;
const DIGIT: u16 = 1 << 2;
const GRAPH: u16 = 1 << 3;
const LOWER: u16 = 1 << 4;
const PUNCTUATION: u16 = 1 << 5;
const SPACE: u16 = 1 << 6;
const UPPER: u16 = 1 << 7;
const HEX: u16 = 1 << 8;
const ZERO: u16 = 1 << 9;

/// The kinds of each byte in the locale "C", which is the one of a session.
static KINDS: [u16; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0u8;
    loop {
        let mut of = 0;
        if byte.is_ascii_alphabetic() {
            of |= ALPHA;
        }
        if byte.is_ascii_control() {
            of |= CONTROL;
        }
        if byte.is_ascii_digit() {
            of |= DIGIT;
        }
        if byte.is_ascii_graphic() {
            of |= GRAPH;
        }
        if byte.is_ascii_lowercase() {
            of |= LOWER;
        }
        if byte.is_ascii_punctuation() {
            of |= PUNCTUATION;
        }
        // C counts the vertical tab, Rust does not.
        if byte.is_ascii_whitespace() || byte == 0x0b {
            of |= SPACE;
        }
        if byte.is_ascii_uppercase() {
            of |= UPPER;
        }
        if byte.is_ascii_hexdigit() {
            of |= HEX;
        }
        if byte == 0 {
            of |= ZERO;
        }
        kinds[byte as usize] = of;
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

/// One item, without what repeats it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item<'p> {
    Any,
    Byte(u8),
    Not(u8),
    /// Any of these kinds, or none of them.
    Kind {
        kinds: u16,
        wanted: bool,
    },
    Set(Set<'p>),
}

impl<'p> Item<'p> {
    /// From its text in the pattern, which is well formed.
    #[inline]
    pub(super) fn new(text: &'p [u8]) -> Self {
        match *text {
            [b'.'] => Self::Any,
            [b'%', class] => Self::class(class),
            // Lists are split by the likes of [^,].
            [b'[', b'^', byte, b']'] => Self::Not(byte),
            [b'[', ..] => Self::Set(Set::new(text)),
            [byte, ..] => Self::Byte(byte),
            [] => Self::Kind { kinds: 0, wanted: true },
        }
    }

    /// What stands after a `%`: a class, or the character itself.
    #[inline]
    fn class(class: u8) -> Self {
        let kinds = match class.to_ascii_lowercase() {
            b'a' => ALPHA,
            b'c' => CONTROL,
            b'd' => DIGIT,
            b'g' => GRAPH,
            b'l' => LOWER,
            b'p' => PUNCTUATION,
            b's' => SPACE,
            b'u' => UPPER,
            b'w' => ALPHA | DIGIT,
            b'x' => HEX,
            b'z' => ZERO,
            _ => return Self::Byte(class),
        };
        Self::Kind { kinds, wanted: class.is_ascii_lowercase() }
    }

    #[inline]
    pub(super) fn takes(self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Byte(own) => own == byte,
            Self::Not(other) => other != byte,
            Self::Kind { kinds, wanted } => is(byte, kinds) == wanted,
            Self::Set(set) => set.takes(byte),
        }
    }

    /// How many bytes it takes from the beginning of a text.
    #[inline]
    pub(super) fn run(self, text: &[u8]) -> usize {
        self.until(text, false)
    }

    /// How many bytes of a text come before one that it takes.
    #[inline]
    pub(super) fn gap(self, text: &[u8]) -> usize {
        self.until(text, true)
    }

    #[inline]
    fn until(self, text: &[u8], taken: bool) -> usize {
        // A loop for each, so that none decides again and again which item it is.
        let found = match self {
            Self::Any if taken => Some(0),
            Self::Any => None,
            Self::Byte(own) | Self::Not(own) if (matches!(self, Self::Byte(_))) == taken => {
                memchr::memchr(own, text)
            }
            Self::Byte(own) | Self::Not(own) => text.iter().position(|&byte| own != byte),
            Self::Kind { kinds, wanted } => {
                text.iter().position(|&byte| (is(byte, kinds) == wanted) == taken)
            }
            Self::Set(set) => text.iter().position(|&byte| set.takes(byte) == taken),
        };
        found.unwrap_or(text.len())
    }

    /// Steps that it takes to look at one byte.
    #[inline]
    pub(super) fn cost(self) -> usize {
        match self {
            Self::Set(set) => set.inside.len().max(1),
            _ => 1,
        }
    }
}

#[inline]
fn is(byte: u8, kinds: u16) -> bool {
    KINDS[usize::from(byte)] & kinds != 0
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Set<'p> {
    /// Between the brackets, without `^`.
    inside: &'p [u8],
    wanted: bool,
}

impl<'p> Set<'p> {
    /// From its text with the brackets.
    #[inline]
    pub(super) fn new(text: &'p [u8]) -> Self {
        let inside = text.get(1..text.len() - 1).unwrap_or_default();
        match inside.strip_prefix(b"^") {
            Some(inside) => Self { inside, wanted: false },
            None => Self { inside, wanted: true },
        }
    }

    #[inline]
    pub(super) fn takes(self, byte: u8) -> bool {
        self.has(byte) == self.wanted
    }

    fn has(self, byte: u8) -> bool {
        let mut rest = self.inside;
        loop {
            rest = match *rest {
                [] | [b'%'] => return false,
                [b'%', class, ref rest @ ..] => {
                    if Item::class(class).takes(byte) {
                        return true;
                    }
                    rest
                }
                // A - that comes last is itself.
                [first, b'-', last, ref rest @ ..] => {
                    if (first..=last).contains(&byte) {
                        return true;
                    }
                    rest
                }
                [own, ref rest @ ..] => {
                    if own == byte {
                        return true;
                    }
                    rest
                }
            }
        }
    }
}
